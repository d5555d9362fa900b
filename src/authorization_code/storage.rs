use async_trait::async_trait;

use crate::authorization_code::{AuthorizationCode, NewAuthorizationCode};
use crate::error::Result;
use crate::request::RequestContext;
use crate::secret::Secret;

/// Storage of authorization codes.
#[async_trait]
pub trait AuthorizationCodeStorage: Send + Sync {
    /// Stores a code and its new grant before it returns, with the nonce, the challenge and the
    /// authentication time that the exchange needs.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if `client_id` is
    /// unknown or disabled, if `session` has ended or is of another user, if `code` already exists, if `code_challenge_method` is `plain` and the
    /// settings do not allow it, or if another value is invalid, such as a lifetime of more than
    /// ten minutes.
    async fn create_authorization_code(
        &self,
        request: &RequestContext,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode>;

    /// Finds a code of this client. Returns `None` if it is unknown, of another client, already
    /// used, or of a revoked grant. An expired code is returned ([`AuthorizationCode::expired`]).
    /// Reading does not spend the code, because some flows read it twice.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_authorization_code(
        &self,
        request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>>;

    /// Marks a code of this client as used. It is not found again; the purge deletes the row. An
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
