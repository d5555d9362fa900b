use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::{Error, Result};
use crate::model::User;
use crate::request::Request;
use crate::storage::UserStorage;

#[async_trait]
impl UserStorage for MemoryStorage {
    async fn authenticate(&self, request: &Request) -> Result<Option<User>> {
        match &self.users {
            Some(users) => users.authenticate(request).await,
            None => Err(Error::configuration(
                "nobody knows the resource owners; give one to `MemoryStorage::with_users`",
            )),
        }
    }
}
