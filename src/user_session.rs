//! Sessions of users at the authorization server: who is signed in, since when, and where they signed in to.

mod storage;

pub use storage::UserSessionStorage;

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::check::{check_json, check_subject};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::secret::Secret;
use crate::settings::MAX_LIFETIME;
use crate::user::User;

/// The largest `details` of a session, as JSON, in bytes.
pub const MAX_DETAILS_BYTES: usize = 4 * 1024;

/// The largest number of clients that a session notes. A sign-out finds further ones by their grants.
pub const MAX_SESSION_CLIENTS: usize = 1_000;

/// A session of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserSession {
    /// The public identifier: `sid` in ID tokens and logout tokens. It is not secret and proves nothing.
    pub sid: Uuid,
    /// The user.
    pub subject: String,
    /// Time at which the session started.
    pub created_at: DateTime<Utc>,
    /// Time at which the user last authenticated (`auth_time`).
    pub auth_time: DateTime<Utc>,
    /// The authentication context class reference (`acr`).
    pub acr: Option<String>,
    /// The authentication methods (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// Time of expiry: the idle end or the absolute end, whichever is earlier.
    pub expires_at: DateTime<Utc>,
    /// The absolute end, which only another authentication moves.
    pub absolute_expires_at: DateTime<Utc>,
    /// Values for a list of the user's sessions.
    pub details: Map<String, Value>,
}

impl UserSession {
    /// The user of the session, with their authentication and `sid`, for a
    /// [`RequestContext`](crate::RequestContext).
    #[must_use]
    pub fn user(&self) -> User {
        User::new(&self.subject)
            .with_auth_time(self.auth_time)
            .with_acr(self.acr.clone())
            .with_amr(self.amr.clone())
            .with_sid(self.sid.to_string())
    }
}

/// A session to start with [`start_session`](UserSessionStorage::start_session).
///
/// By default it ends after 30 minutes without use and 12 hours after the authentication. These are the limits of
/// NIST SP 800-63B for the assurance level AAL2 (revision 3; revision 4 allows an hour and a day), and OWASP's
/// Session Management Cheat Sheet recommends 15 to 30 minutes for applications of low risk. AAL3 requires
/// 15 minutes.
///
/// ```
/// use std::time::Duration;
///
/// use oauth_storage::User;
/// use oauth_storage::user_session::NewUserSession;
/// use serde_json::{Map, json};
///
/// let user = User::new("248289761001").with_amr(vec!["pwd".into(), "otp".into()]);
/// let new = NewUserSession::new(user)
///     .with_idle_timeout(Duration::from_mins(15))
///     .with_details(Map::from_iter([("user_agent".into(), json!("Firefox 140"))]));
/// assert_eq!(new.lifetime, Duration::from_hours(12));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewUserSession {
    /// The user and their authentication. Without `auth_time`, or with one in the future, it is the time of the
    /// call by the storage's clock. Its `sid` is ignored, because the session gets a new one.
    pub user: User,
    /// The time from an authentication to the absolute end.
    pub lifetime: Duration,
    /// The time without use after which the session ends; `None` for no such end.
    pub idle_timeout: Option<Duration>,
    /// Values for a list of the user's sessions, such as the user agent; at most 4 KiB as JSON, without a
    /// secret.
    pub details: Map<String, Value>,
}

impl NewUserSession {
    /// A session of a user with the default lifetimes.
    #[must_use]
    pub fn new(user: User) -> Self {
        Self {
            user,
            lifetime: Duration::from_hours(12),
            idle_timeout: Some(Duration::from_mins(30)),
            details: Map::new(),
        }
    }

    setters! {
        /// Sets the time from an authentication to the absolute end.
        with_lifetime(lifetime: Duration) => lifetime;
        /// Sets the time without use after which the session ends.
        with_idle_timeout(idle_timeout: impl Into<Option<Duration>>) => idle_timeout.into();
        /// Sets the values for a list of the user's sessions.
        with_details(details: Map<String, Value>) => details;
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        check_authentication(&self.user)?;
        check_json("details", &self.details, MAX_DETAILS_BYTES)?;
        let idle_timeout = self.idle_timeout.unwrap_or(self.lifetime);
        for (field, lifetime) in [("lifetime", self.lifetime), ("idle_timeout", idle_timeout)] {
            // PostgreSQL has a resolution of one microsecond; a shorter lifetime would be none.
            if lifetime < Duration::from_micros(1) || lifetime > MAX_LIFETIME {
                return Err(Error::invalid(field, InvalidReason::OutOfRange));
            }
        }
        Ok(())
    }
}

/// Checks the user and the authentication of a session. For storage implementations.
///
/// # Errors
/// Returns [`Error::Invalid`], which names the field, if a value is invalid.
pub fn check_authentication(user: &User) -> Result<()> {
    check_subject(&user.subject)?;
    // The session has its own `sid`.
    GrantContext::default().or_from(Some(&User { sid: None, ..user.clone() })).check()
}

/// The time of the authentication to the microsecond, as PostgreSQL has it.
pub(crate) fn auth_time(user: &User) -> Option<DateTime<Utc>> {
    user.auth_time.map(|time| time.trunc_subsecs(6))
}

/// A session that has started, or started again after another authentication.
#[derive(Debug, Clone, PartialEq)]
pub struct StartedSession {
    /// The secret of the cookie, of 256 bits. Only its digest is stored. Send it with `Secure`, `HttpOnly`,
    /// `SameSite=Lax`, `Path=/` and the name prefix `__Host-`.
    pub secret: Secret,
    /// The session.
    pub session: UserSession,
}

/// A page of a user's live sessions, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions. Any page but the last can have fewer than requested, even none, if the scan passed many
    /// sessions that are no longer live.
    pub sessions: Vec<UserSession>,
    /// The `after` of the next page; `None` on the last page.
    pub next: Option<Uuid>,
}

/// The outcome of a sign-out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "the clients have to be notified"]
pub struct SignOut {
    /// The sessions that this call ended. A session that another call ended is not among them.
    pub sessions: Vec<EndedSession>,
    /// Number of grants that this call revoked.
    pub revoked_grants: u64,
}

/// A session that a sign-out ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedSession {
    /// The identifier of the session.
    pub sid: Uuid,
    /// The user.
    pub subject: String,
    /// The clients to notify (OpenID Connect Back-Channel Logout 2.5): each that got a grant in the session, also
    /// if the grant has ended, and also with `offline_access`. In the order of their identifiers.
    pub client_ids: Vec<String>,
}

impl EndedSession {
    /// An ended session. For storage implementations.
    pub fn new(
        sid: Uuid,
        subject: impl Into<String>,
        client_ids: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut client_ids: Vec<String> = client_ids.into_iter().collect();
        client_ids.sort_unstable();
        client_ids.dedup();
        Self { sid, subject: subject.into(), client_ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_session_has_its_authentication_and_sid() {
        let time = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let session = UserSession {
            sid: Uuid::now_v7(),
            subject: "alice".into(),
            created_at: time,
            auth_time: time,
            acr: Some("phr".into()),
            amr: vec!["hwk".into()],
            expires_at: time,
            absolute_expires_at: time,
            details: Map::new(),
        };
        let user = User::new("alice")
            .with_auth_time(time)
            .with_acr("phr".to_owned())
            .with_amr(vec!["hwk".into()])
            .with_sid(session.sid.to_string());
        assert_eq!(session.user(), user);
        // A session that starts again from its user does not carry the old identifier.
        assert!(NewUserSession::new(user.with_sid("\0".to_owned())).check().is_ok());
    }

    #[test]
    fn the_clients_of_an_ended_session_are_distinct_and_in_order() {
        let clients = ["b", "a", "b"].map(str::to_owned);
        let ended = EndedSession::new(Uuid::nil(), "alice", clients);
        assert_eq!(ended.client_ids, ["a", "b"]);
    }
}
