use async_trait::async_trait;

use crate::error::Result;
use crate::model::User;
use crate::request::Request;

/// Who the resource owner is: the application's own matter, so a storage takes an implementation
/// of this trait and calls it.
#[async_trait]
pub trait UserStorage: Send + Sync {
    /// Checks the username and password of [`Request::form`] (RFC 6749 4.3.2), and says whose they
    /// are: `None` for an unknown user, a wrong password, or either missing, all at the same cost.
    ///
    /// # Errors
    /// [`Error::Configuration`](crate::Error::Configuration) where no implementation was given.
    async fn authenticate(&self, request: &Request) -> Result<Option<User>>;
}

forward!(UserStorage {
    fn authenticate(&self, request: &Request) -> Result<Option<User>>;
});
