use async_trait::async_trait;

use crate::error::Result;
use crate::model::User;
use crate::request::Request;

/// Authentication of resource owners. It is pluggable: a storage takes an implementation of this trait,
/// because an application has its own users.
#[async_trait]
pub trait UserStorage: Send + Sync {
    /// Finds the user with the username and password of [`Request::form`] (RFC 6749 4.3.2). `None` if
    /// the user is unknown, the password wrong, or either is missing, all at the same cost.
    ///
    /// # Errors
    /// [`Error::Configuration`](crate::Error::Configuration) where no implementation was given.
    async fn authenticate(&self, request: &Request) -> Result<Option<User>>;
}

forward!(UserStorage {
    fn authenticate(&self, request: &Request) -> Result<Option<User>>;
});
