use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::user::{User, UserStorage};

#[async_trait]
impl UserStorage for MemoryStorage {
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        match &self.users {
            Some(users) => users.authenticate(username, password).await,
            None => Err(Error::configuration(
                "no users: pass a UserStorage to `MemoryStorage::with_users`",
            )),
        }
    }
}
