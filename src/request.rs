//! [`RequestContext`].

use crate::settings::Settings;
use crate::user::User;

/// The resource owner and the settings of a request.
///
/// [`RequestContext::default`] has no user and the default settings.
///
/// ```
/// use oauth_storage::{RequestContext, User};
///
/// let request = RequestContext::for_user(User::new("alice"));
/// assert_eq!(request.subject(), Some("alice"));
/// assert_eq!(request.settings.authorization_code_expires_in.as_secs(), 60);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RequestContext {
    /// The resource owner; `None` if unknown.
    pub user: Option<User>,
    /// Lifetimes and policies for this request.
    pub settings: Settings,
}

impl RequestContext {
    /// A request of a resource owner, with the default settings.
    #[must_use]
    pub fn for_user(user: User) -> Self {
        Self { user: Some(user), ..Self::default() }
    }

    /// Sets the resource owner.
    #[must_use]
    pub fn with_user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// Sets the lifetimes and policies.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The resource owner's identifier; `None` without a resource owner.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.subject.as_str())
    }
}
