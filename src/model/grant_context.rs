use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Problem, Result};
use crate::model::{MAX_TEXT_BYTES, User, check_text};

/// The most values in a list that travels with a grant.
const MAX_VALUES: usize = 32;

/// The largest JSON object that travels with a grant, in bytes.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// Values of an authorization that travel unchanged to every token of the grant (OpenID Connect Core
/// 12.2).
///
/// ```
/// use oauth_storage::GrantContext;
/// let context = GrantContext { nonce: Some("n-0S6_WzA2Mj".into()), ..GrantContext::default() };
/// assert!(context.resource.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// The `claims` request parameter (OpenID Connect Core 5.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
    /// The resource indicators (RFC 8707).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// The thumbprint of the key that the tokens are bound to by DPoP (RFC 9449 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// The thumbprint of the certificate that the tokens are bound to (RFC 8705 3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<String>,
    /// Other values of the authorization server. They must not hold a secret, because they are stored
    /// in plaintext.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Map<String, Value>>,
}

impl GrantContext {
    /// The context as it is stored: with what is known of the user's authentication where it was
    /// not given, and times to the microsecond.
    #[must_use]
    pub fn or_from(mut self, user: Option<&User>) -> Self {
        if let Some(user) = user {
            self.auth_time = self.auth_time.or(user.auth_time);
            self.acr = self.acr.or_else(|| user.acr.clone());
            if self.amr.is_empty() {
                self.amr.clone_from(&user.amr);
            }
        }
        self.auth_time = self.auth_time.map(|time| time.trunc_subsecs(6));
        self
    }

    /// Checks every value that came from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<()> {
        for (field, value) in [
            ("nonce", &self.nonce),
            ("acr", &self.acr),
            ("jkt", &self.jkt),
            ("x5t#S256", &self.x5t_s256),
        ] {
            if let Some(value) = value {
                check_text(field, value, MAX_TEXT_BYTES)?;
            }
        }
        for (field, values) in [("amr", &self.amr), ("resource", &self.resource)] {
            if values.len() > MAX_VALUES {
                return Err(Error::invalid(field, Problem::TooMany(MAX_VALUES)));
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

/// The deepest nesting of a JSON object that is kept. A reader of JSON has a limit of its own, and
/// what one cannot read again must not be stored.
const MAX_JSON_DEPTH: usize = 64;

/// A JSON object that `jsonb` can hold and a reader can read: bounded, not too deep, and without
/// the NUL that `jsonb` refuses.
pub(crate) fn check_json(
    field: &'static str,
    object: &Map<String, Value>,
    limit: usize,
) -> Result<()> {
    // Depth first, for what follows descends without a limit.
    object
        .iter()
        .try_for_each(|(key, value)| check_key(key).and_then(|()| check_value(value, 1)))
        .map_err(|problem| Error::invalid(field, problem))?;
    let text =
        serde_json::to_string(object).map_err(|_| Error::invalid(field, Problem::Unsupported))?;
    if text.len() > limit {
        return Err(Error::invalid(field, Problem::TooLong(limit)));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Problem> {
    if key.contains('\0') { Err(Problem::Character) } else { Ok(()) }
}

fn check_value(value: &Value, depth: usize) -> Result<(), Problem> {
    if depth > MAX_JSON_DEPTH {
        return Err(Problem::TooDeep(MAX_JSON_DEPTH));
    }
    match value {
        Value::String(text) => check_key(text),
        Value::Array(values) => values.iter().try_for_each(|value| check_value(value, depth + 1)),
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            check_key(key).and_then(|()| check_value(value, depth + 1))
        }),
        // `jsonb` writes numbers out: 1e308 comes back as 309 digits.
        Value::Number(number) => match number.as_f64().map(f64::abs) {
            Some(size) if size == 0.0 || (1e-30..1e30).contains(&size) => Ok(()),
            _ => Err(Problem::OutOfRange),
        },
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// A point in time that PostgreSQL can hold and a client can have meant: 1970 to 9999.
pub(crate) fn check_timestamp(field: &'static str, time: DateTime<Utc>) -> Result<()> {
    const YEAR_10000: i64 = 253_402_300_800;
    if (0..YEAR_10000).contains(&time.timestamp()) {
        Ok(())
    } else {
        Err(Error::invalid(field, Problem::OutOfRange))
    }
}
