use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::{Error, Result};
use crate::id_token::{IdTokenHint, IdTokenStorage, NewIdToken};
use crate::request::RequestContext;

#[async_trait]
impl IdTokenStorage for MemoryStorage {
    async fn get_id_token(
        &self,
        request: &RequestContext,
        id_token: NewIdToken<'_>,
    ) -> Result<String> {
        self.signer()?.get_id_token(request, id_token).await
    }

    async fn verify_id_token_hint(&self, id_token_hint: &str) -> Result<Option<IdTokenHint>> {
        self.signer()?.verify_id_token_hint(id_token_hint).await
    }
}

impl MemoryStorage {
    fn signer(&self) -> Result<&dyn IdTokenStorage> {
        self.id_tokens.as_deref().ok_or_else(|| {
            Error::configuration(
                "no ID tokens: pass an IdTokenStorage to `MemoryStorage::with_id_tokens`",
            )
        })
    }
}
