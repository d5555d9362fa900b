//! Lifetimes and policies.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, InvalidReason, Result};
use crate::scope::Scope;

/// Lifetimes and policies. The defaults are conservative.
///
/// A configuration file gives lifetimes in seconds. A setting that it omits has its default, and one that does not
/// exist is an error.
///
/// ```
/// use oauth_storage::Settings;
///
/// let settings: Settings = serde_json::from_str(r#"{ "access_token_expires_in": 600 }"#)?;
/// assert_eq!(settings.access_token_expires_in.as_secs(), 600);
/// assert_eq!(settings.refresh_token_grace.as_secs(), 10);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Lifetime of an access token; one hour.
    #[serde(deserialize_with = "seconds")]
    pub access_token_expires_in: Duration,
    /// Lifetime of a refresh token and of its successors, an absolute expiry that rotation does not
    /// move; 30 days.
    #[serde(deserialize_with = "seconds")]
    pub refresh_token_expires_in: Duration,
    /// Idle lifetime of a refresh token: each rotation gives the successor this long, up to the
    /// absolute expiry. `None`, the default, for no idle lifetime.
    #[serde(deserialize_with = "optional_seconds")]
    pub refresh_token_idle_expires_in: Option<Duration>,
    /// Lifetime of an authorization code; 60 seconds, at most ten minutes (RFC 6749 4.1.2).
    #[serde(deserialize_with = "seconds")]
    pub authorization_code_expires_in: Duration,
    /// Lifetime of an ID token; one hour.
    #[serde(deserialize_with = "seconds")]
    pub id_token_expires_in: Duration,
    /// Grace period after a rotation in which the old refresh token can be exchanged again, for a
    /// client that lost the response; ten seconds by default, at most five minutes. With zero the
    /// second exchange revokes the grant.
    #[serde(deserialize_with = "seconds")]
    pub refresh_token_grace: Duration,
    /// True if the PKCE method `plain` is accepted; false by default (RFC 9700 2.1.1).
    pub allow_plain_code_challenge: bool,
    /// The answer to a request for scope tokens that the client has not registered; they are
    /// ignored by default.
    pub unknown_scope: UnknownScope,
    /// True if a refresh token is issued only with the scope `offline_access` (OpenID Connect Core
    /// 11); false by default. Refresh tokens that were issued before stay valid and are rotated.
    pub require_offline_access: bool,
}

/// The answer to a request for scope tokens that the client has not registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownScope {
    /// The rest of the scope is granted (OpenID Connect Core 3.1.2.1). If nothing is left, the
    /// request is refused.
    #[default]
    Ignore,
    /// The request is refused with `invalid_scope` (RFC 6749 4.1.2.1).
    Refuse,
}

names!(UnknownScope, "unknown_scope", {
    Ignore => "ignore",
    Refuse => "refuse",
});

/// The scope token that asks for a refresh token (OpenID Connect Core 11).
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// The longest lifetime of an authorization code (RFC 6749 4.1.2).
pub const MAX_AUTHORIZATION_CODE_LIFETIME: Duration = Duration::from_mins(10);

/// The longest grace period of a rotated refresh token. A stolen one works as long.
pub const MAX_REFRESH_TOKEN_GRACE: Duration = Duration::from_mins(5);

/// The longest lifetime: 100 years.
pub const MAX_LIFETIME: Duration = Duration::from_hours(24 * 36_525);

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token_expires_in: Duration::from_hours(1),
            refresh_token_expires_in: Duration::from_hours(24 * 30),
            refresh_token_idle_expires_in: None,
            authorization_code_expires_in: Duration::from_mins(1),
            id_token_expires_in: Duration::from_hours(1),
            refresh_token_grace: Duration::from_secs(10),
            allow_plain_code_challenge: false,
            unknown_scope: UnknownScope::Ignore,
            require_offline_access: false,
        }
    }
}

impl Settings {
    setters! {
        /// Sets the lifetime of an access token.
        with_access_token_expires_in(access_token_expires_in: Duration) => access_token_expires_in;
        /// Sets the lifetime of a refresh token and of its successors.
        with_refresh_token_expires_in(refresh_token_expires_in: Duration) => refresh_token_expires_in;
        /// Sets the idle lifetime of a refresh token.
        with_refresh_token_idle_expires_in(refresh_token_idle_expires_in: impl Into<Option<Duration>>) => refresh_token_idle_expires_in.into();
        /// Sets the lifetime of an authorization code.
        with_authorization_code_expires_in(authorization_code_expires_in: Duration) =>
            authorization_code_expires_in;
        /// Sets the lifetime of an ID token.
        with_id_token_expires_in(id_token_expires_in: Duration) => id_token_expires_in;
        /// Sets the grace period after a rotation; zero for none.
        with_refresh_token_grace(refresh_token_grace: Duration) => refresh_token_grace;
        /// Allows the PKCE method `plain`.
        with_allow_plain_code_challenge(allow_plain_code_challenge: bool) =>
            allow_plain_code_challenge;
        /// Sets the answer to unregistered scope tokens.
        with_unknown_scope(unknown_scope: UnknownScope) => unknown_scope;
        /// Requires the scope `offline_access` for a refresh token.
        with_require_offline_access(require_offline_access: bool) => require_offline_access;
    }

    /// Returns true if a refresh token may be issued for the scope.
    #[must_use]
    pub fn allows_refresh_token(&self, scope: &Scope) -> bool {
        !self.require_offline_access || scope.contains(OFFLINE_ACCESS)
    }

    /// Checks every lifetime: more than zero, at most [`MAX_LIFETIME`], for a code at most
    /// [`MAX_AUTHORIZATION_CODE_LIFETIME`]. Checks that the grace period is at most
    /// [`MAX_REFRESH_TOKEN_GRACE`].
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with the name of the setting and [`InvalidReason::OutOfRange`] if
    /// a value is out of range.
    pub fn check(&self) -> Result<()> {
        for (field, lifetime, limit) in [
            ("access_token_expires_in", self.access_token_expires_in, MAX_LIFETIME),
            ("refresh_token_expires_in", self.refresh_token_expires_in, MAX_LIFETIME),
            (
                "refresh_token_idle_expires_in",
                self.refresh_token_idle_expires_in.unwrap_or(self.refresh_token_expires_in),
                MAX_LIFETIME,
            ),
            (
                "authorization_code_expires_in",
                self.authorization_code_expires_in,
                MAX_AUTHORIZATION_CODE_LIFETIME,
            ),
            ("id_token_expires_in", self.id_token_expires_in, MAX_LIFETIME),
        ] {
            // PostgreSQL has a resolution of one microsecond; a shorter lifetime would be none.
            if lifetime < Duration::from_micros(1) || lifetime > limit {
                return Err(Error::invalid(field, InvalidReason::OutOfRange));
            }
        }
        if self.refresh_token_grace > MAX_REFRESH_TOKEN_GRACE {
            return Err(Error::invalid("refresh_token_grace", InvalidReason::OutOfRange));
        }
        Ok(())
    }
}

fn seconds<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<Duration, D::Error> {
    u64::deserialize(value).map(Duration::from_secs)
}

fn optional_seconds<'de, D>(value: D) -> std::result::Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::<u64>::deserialize(value)?.map(Duration::from_secs))
}

/// The lifetimes of a pair and of its grant at its first issue, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// The lifetime of the access token.
    pub access_token: i64,
    /// The lifetime of the refresh token: the idle lifetime if there is one and it ends earlier.
    pub refresh_token: i64,
    /// The lifetime of the grant, until its last token expires.
    pub grant: i64,
    /// The time until the absolute expiry of the refresh tokens, if they have an idle lifetime.
    pub refresh_end: Option<i64>,
}

impl Lifetimes {
    /// Returns the lifetimes of a pair for these settings.
    #[must_use]
    pub fn new(settings: &Settings, has_refresh_token: bool) -> Self {
        let access_token = micros(settings.access_token_expires_in);
        let absolute = micros(settings.refresh_token_expires_in);
        let idle = settings.refresh_token_idle_expires_in.map(micros);
        let refresh_token = idle.map_or(absolute, |idle| idle.min(absolute));
        Self {
            access_token,
            refresh_token,
            grant: if has_refresh_token { access_token.max(refresh_token) } else { access_token },
            refresh_end: idle.filter(|_| has_refresh_token).map(|_| absolute),
        }
    }
}

/// Converts a lifetime to microseconds, PostgreSQL's unit of time.
pub fn micros(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_in_seconds() {
        let json = serde_json::json!({
            "access_token_expires_in": 1,
            "refresh_token_expires_in": 2,
            "refresh_token_idle_expires_in": 3,
            "authorization_code_expires_in": 4,
            "id_token_expires_in": 5,
            "refresh_token_grace": 0,
            "allow_plain_code_challenge": true,
            "unknown_scope": "refuse",
            "require_offline_access": true,
        });
        let second = Duration::from_secs;
        let expected = Settings {
            access_token_expires_in: second(1),
            refresh_token_expires_in: second(2),
            refresh_token_idle_expires_in: Some(second(3)),
            authorization_code_expires_in: second(4),
            id_token_expires_in: second(5),
            refresh_token_grace: Duration::ZERO,
            allow_plain_code_challenge: true,
            unknown_scope: UnknownScope::Refuse,
            require_offline_access: true,
        };
        let read = |json| serde_json::from_value::<Settings>(json);
        assert_eq!(read(json).unwrap(), expected);
        assert_eq!(read(serde_json::json!({})).unwrap(), Settings::default());
        let idle = serde_json::json!({ "refresh_token_idle_expires_in": null });
        assert_eq!(read(idle).unwrap(), Settings::default());
        for wrong in ["access_token_lifetime", "grace"] {
            assert!(read(serde_json::json!({ wrong: 1 })).is_err(), "{wrong}");
        }
        assert!(read(serde_json::json!({ "id_token_expires_in": -1 })).is_err());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let broken = [
            Settings::default().with_access_token_expires_in(Duration::ZERO),
            Settings::default().with_refresh_token_expires_in(Duration::MAX),
            Settings::default().with_authorization_code_expires_in(Duration::from_secs(601)),
            Settings::default().with_id_token_expires_in(Duration::from_nanos(1)),
            Settings::default().with_refresh_token_idle_expires_in(Duration::ZERO),
        ];
        let fields = broken.map(|settings| match settings.check() {
            Err(Error::Invalid { field, reason: InvalidReason::OutOfRange }) => field,
            other => panic!("{other:?}"),
        });
        assert_eq!(
            fields,
            [
                "access_token_expires_in",
                "refresh_token_expires_in",
                "authorization_code_expires_in",
                "id_token_expires_in",
                "refresh_token_idle_expires_in"
            ]
        );
        assert!(Settings::default().check().is_ok());
    }
}
