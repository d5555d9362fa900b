use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::storage::{IdTokenStorage, NewIdToken};

#[async_trait]
impl IdTokenStorage for MemoryStorage {
    async fn get_id_token(&self, request: &Request, id_token: NewIdToken<'_>) -> Result<String> {
        match &self.id_tokens {
            Some(id_tokens) => id_tokens.get_id_token(request, id_token).await,
            None => Err(Error::configuration(
                "nobody signs ID tokens; give a signer to `MemoryStorage::with_id_tokens`",
            )),
        }
    }
}
