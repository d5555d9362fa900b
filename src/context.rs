//! [`GrantContext`].

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::{MAX_TEXT_BYTES, check_json, check_text, check_timestamp};
use crate::error::{Error, InvalidReason, Result};
use crate::user::User;

/// The maximum number of values in a list.
const MAX_VALUES: usize = 32;

/// The maximum size of a JSON object, in bytes.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// Values of an authorization that every token of the grant carries unchanged (OpenID Connect Core
/// 12.2).
///
/// ```
/// use oauth_storage::grant::GrantContext;
/// let context = GrantContext::default().with_nonce("n-0S6_WzA2Mj".to_owned());
/// assert!(context.resource.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct GrantContext {
    /// The `nonce` of the authentication request (OpenID Connect Core 3.1.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Time at which the end user authenticated (OpenID Connect Core 2), to the microsecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<DateTime<Utc>>,
    /// The authentication context class reference (OpenID Connect Core 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The authentication methods (RFC 8176).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The session of the user at the server (OpenID Connect Front-Channel Logout 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The `claims` request parameter (OpenID Connect Core 5.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
    /// The resource indicators (RFC 8707).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// The thumbprint of the DPoP key that the tokens are bound to (RFC 9449 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// The thumbprint of the certificate that the tokens are bound to (RFC 8705 3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<String>,
    /// Other values of the authorization server. They are stored in plaintext and must not contain
    /// a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Map<String, Value>>,
}

impl GrantContext {
    setters! {
        /// Sets the `nonce` of the authentication request.
        with_nonce(nonce: impl Into<Option<String>>) => nonce.into();
        /// Sets the time at which the end user authenticated.
        with_auth_time(auth_time: impl Into<Option<DateTime<Utc>>>) => auth_time.into();
        /// Sets the authentication context class reference.
        with_acr(acr: impl Into<Option<String>>) => acr.into();
        /// Sets the authentication methods.
        with_amr(amr: Vec<String>) => amr;
        /// Sets the session of the user at the server.
        with_sid(sid: impl Into<Option<String>>) => sid.into();
        /// Sets the `claims` request parameter.
        with_claims(claims: impl Into<Option<Map<String, Value>>>) => claims.into();
        /// Sets the resource indicators.
        with_resource(resource: Vec<String>) => resource;
        /// Sets the thumbprint of the DPoP key.
        with_jkt(jkt: impl Into<Option<String>>) => jkt.into();
        /// Sets the thumbprint of the client's certificate.
        with_x5t_s256(x5t_s256: impl Into<Option<String>>) => x5t_s256.into();
        /// Sets other values of the authorization server.
        with_extension(extension: impl Into<Option<Map<String, Value>>>) => extension.into();
    }

    /// Fills in missing authentication values from the user, and truncates the time to
    /// microseconds. For storage implementations.
    #[must_use]
    pub fn or_from(mut self, user: Option<&User>) -> Self {
        if let Some(user) = user {
            self.auth_time = self.auth_time.or(user.auth_time);
            self.acr = self.acr.or_else(|| user.acr.clone());
            self.sid = self.sid.or_else(|| user.sid.clone());
            if self.amr.is_empty() {
                self.amr.clone_from(&user.amr);
            }
        }
        self.auth_time = self.auth_time.map(|time| time.trunc_subsecs(6));
        self
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        for (field, value) in [
            ("nonce", &self.nonce),
            ("acr", &self.acr),
            ("sid", &self.sid),
            ("jkt", &self.jkt),
            ("x5t#S256", &self.x5t_s256),
        ] {
            if let Some(value) = value {
                check_text(field, value, MAX_TEXT_BYTES)?;
            }
        }
        for (field, values) in [("amr", &self.amr), ("resource", &self.resource)] {
            if values.len() > MAX_VALUES {
                return Err(Error::invalid(field, InvalidReason::TooMany(MAX_VALUES)));
            }
            values.iter().try_for_each(|value| check_text(field, value, MAX_TEXT_BYTES))?;
        }
        for (field, object) in [("claims", &self.claims), ("extension", &self.extension)] {
            if let Some(object) = object {
                check_json(field, object, MAX_JSON_BYTES)?;
            }
        }
        if let Some(auth_time) = self.auth_time {
            check_timestamp("auth_time", auth_time)?;
        }
        Ok(())
    }
}
