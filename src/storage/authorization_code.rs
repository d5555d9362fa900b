use async_trait::async_trait;

use crate::error::Result;
use crate::model::{AuthorizationCode, NewAuthorizationCode};
use crate::request::Request;
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
        request: &Request,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode>;

    /// Finds a code: `None` for one that is unknown, of another client, already used, or revoked
    /// with its grant. An expired one is returned as such ([`AuthorizationCode::expired`]). It
    /// reads only, for some flows read twice.
    ///
    /// # Errors
    /// None that depend on the code.
    async fn get_authorization_code(
        &self,
        request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>>;

    /// Deletes a code of that client: it is not found again. It stays as a used one until the purge.
    /// Nothing happens to an unknown code or one of another client, and the call succeeds.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn delete_authorization_code(
        &self,
        request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<()>;
}

forward!(AuthorizationCodeStorage {
    fn create_authorization_code(&self, request: &Request, code: NewAuthorizationCode) -> Result<AuthorizationCode>;
    fn get_authorization_code(&self, request: &Request, client_id: &str, code: &Secret) -> Result<Option<AuthorizationCode>>;
    fn delete_authorization_code(&self, request: &Request, client_id: &str, code: &Secret) -> Result<()>;
});
