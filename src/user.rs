//! Resource owners.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::secret::Secret;

/// A resource owner, as the authorization server knows them at a request.
///
/// ```
/// use oauth_storage::User;
/// let user = User::new("248289761001");
/// assert_eq!(user.subject, "248289761001");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The stable identifier, `sub` in OpenID Connect Core 2: at most 255 bytes, never reused.
    pub subject: String,
    /// Time at which the end user last authenticated (`auth_time`).
    #[serde(default)]
    pub auth_time: Option<DateTime<Utc>>,
    /// The authentication context class reference (`acr`).
    #[serde(default)]
    pub acr: Option<String>,
    /// The authentication methods (`amr`, RFC 8176).
    #[serde(default)]
    pub amr: Vec<String>,
    /// The session at the server (`sid`).
    #[serde(default)]
    pub sid: Option<String>,
}

impl User {
    /// A resource owner with this identifier and no other values.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..Self::default() }
    }

    setters! {
        /// Sets the time at which the end user last authenticated.
        with_auth_time(auth_time: impl Into<Option<DateTime<Utc>>>) => auth_time.into();
        /// Sets the authentication context class reference.
        with_acr(acr: impl Into<Option<String>>) => acr.into();
        /// Sets the authentication methods.
        with_amr(amr: Vec<String>) => amr;
        /// Sets the session at the server.
        with_sid(sid: impl Into<Option<String>>) => sid.into();
    }
}

/// Authentication of resource owners. Pass an implementation to a storage, because an application
/// has its own users.
#[async_trait]
pub trait UserStorage: Send + Sync {
    /// Finds the user with this username and password (RFC 6749 4.3.2). Returns `None` if the user
    /// is unknown or the password is wrong, both at the same cost.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`](crate::Error::Configuration) if the storage has no
    /// implementation.
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>>;
}

forward!(UserStorage {
    fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>>;
});
