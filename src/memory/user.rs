use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::user::{User, UserStorage};

#[async_trait]
impl UserStorage for MemoryStorage {
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        let known =
            |(name, known, _): &&(String, Secret, User)| name == username && known == password;
        match &self.users {
            Some(users) => users.authenticate(username, password).await,
            None if !self.known_users.is_empty() => {
                let found = self.known_users.iter().find(known);
                Ok(found.map(|(_, _, user)| user.clone()))
            }
            None => Err(Error::configuration(
                "no users: call `MemoryStorage::with_user`, or pass a UserStorage to `with_users`",
            )),
        }
    }
}
