use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::{Error, Result};
use crate::id_token::{IdTokenStorage, NewIdToken};
use crate::request::RequestContext;

#[async_trait]
impl IdTokenStorage for MemoryStorage {
    async fn get_id_token(
        &self,
        request: &RequestContext,
        id_token: NewIdToken<'_>,
    ) -> Result<String> {
        match &self.id_tokens {
            Some(id_tokens) => id_tokens.get_id_token(request, id_token).await,
            None => Err(Error::configuration(
                "no ID tokens: pass an IdTokenStorage to `MemoryStorage::with_id_tokens`",
            )),
        }
    }
}
