use async_trait::async_trait;

use crate::error::Result;
use crate::request::RequestContext;
use crate::token::{NewToken, Token, TokenRef};

/// Storage of access and refresh tokens.
#[async_trait]
pub trait TokenStorage: Send + Sync {
    /// Stores an access token and its refresh token, both or neither, before it returns. Lifetimes
    /// come from the request's settings. The subject comes from the request's user if the new token
    /// names none. Returns the record of the access token.
    ///
    /// Without a [`NewToken::grant_id`] the tokens begin a new grant. With one they join that
    /// grant. If it was revoked, they are stored but not active ([`Token::state`]).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if `client_id` is
    /// unknown or disabled; if `access_token` or `refresh_token` already exists, breaks the syntax
    /// or names another grant; if a new `grant_id` already exists, or one to join is unknown or of
    /// another client or subject; or if another value is invalid, such as a lifetime.
    async fn create_token(&self, request: &RequestContext, token: NewToken) -> Result<Token>;

    /// Finds a token of this client by its secret. An expired, rotated or revoked token is returned
    /// with its state ([`Token::state`]), so that the caller can give the reason. A token of
    /// another client is not found.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_token(
        &self,
        request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>>;

    /// Revokes a token and its grant (RFC 7009 2.1). No credential of the grant is active after
    /// this returns, whatever runs concurrently. An unknown token, or one of another client, is
    /// ignored, and the call succeeds (RFC 7009 2.2).
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_token(
        &self,
        request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()>;
}

forward!(TokenStorage {
    fn create_token(&self, request: &RequestContext, token: NewToken) -> Result<Token>;
    fn get_token(&self, request: &RequestContext, client_id: &str, token: TokenRef<'_>) -> Result<Option<Token>>;
    fn revoke_token(&self, request: &RequestContext, client_id: &str, token: TokenRef<'_>) -> Result<()>;
});
