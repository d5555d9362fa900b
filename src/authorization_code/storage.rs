use async_trait::async_trait;

use crate::authorization_code::{AuthorizationCode, NewAuthorizationCode};
use crate::error::Result;
use crate::request::RequestContext;
use crate::secret::Secret;

/// Authorization codes.
#[async_trait]
pub trait AuthorizationCodeStorage: Send + Sync {
    /// Stores a code before it returns, for a new grant, with the nonce, the challenge and the
    /// authentication time that the exchange needs later.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) names the field: `client_id` that is unknown or
    /// disabled, `code` that exists already, `code_challenge_method` that is `plain` where the
    /// settings do not allow it, a lifetime beyond ten minutes.
    async fn create_authorization_code(
        &self,
        request: &RequestContext,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode>;

    /// Finds a code of this client. `None` if it is unknown, of another client, already used, or of a
    /// revoked grant. An expired code is returned ([`AuthorizationCode::expired`]). Reading does not
    /// spend it, because some flows read it twice.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_authorization_code(
        &self,
        request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>>;

    /// Marks a code of this client as used, so it is not found again; the row stays until the purge. An
    /// unknown code, or one of another client, is not an error.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn delete_authorization_code(
        &self,
        request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<()>;
}

forward!(AuthorizationCodeStorage {
    fn create_authorization_code(&self, request: &RequestContext, code: NewAuthorizationCode) -> Result<AuthorizationCode>;
    fn get_authorization_code(&self, request: &RequestContext, client_id: &str, code: &Secret) -> Result<Option<AuthorizationCode>>;
    fn delete_authorization_code(&self, request: &RequestContext, client_id: &str, code: &Secret) -> Result<()>;
});
