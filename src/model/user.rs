use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::{MAX_IDENTIFIER_BYTES, check_text};

/// A resource owner, as the authorization server knows them at a request.
///
/// ```
/// use oauth_storage::User;
/// let user = User::new("248289761001");
/// assert_eq!(user.subject, "248289761001");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl User {
    /// A resource owner of whom no more than the identifier is known.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..Self::default() }
    }

    /// The same user, authenticated at that time.
    #[must_use]
    pub fn authenticated_at(mut self, auth_time: DateTime<Utc>) -> Self {
        self.auth_time = Some(auth_time);
        self
    }
}

pub(crate) fn check_subject(subject: &str) -> Result<()> {
    check_text("subject", subject, MAX_IDENTIFIER_BYTES)
}
