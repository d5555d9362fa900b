use async_trait::async_trait;

use crate::error::Result;
use crate::request::RequestContext;
use crate::token::{NewToken, Token, TokenRef};

/// Access and refresh tokens.
#[async_trait]
pub trait TokenStorage: Send + Sync {
    /// Stores an access token, and the refresh token that is issued with it, before it returns:
    /// both or neither. Lifetimes come from the request's settings, and the subject, where the new
    /// token names none, from its user. Returns the record of the access token.
    ///
    /// Without a [`NewToken::grant_id`] the tokens begin a new grant. With one they join that grant;
    /// if it was revoked they are stored, and are dead ([`Token::state`]).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with the field's name: a `client_id` that is
    /// unknown or disabled, an `access_token` or `refresh_token` that exists already, breaks the
    /// syntax or names another grant, a `grant_id` that exists already, or that is to be joined and
    /// is unknown or of another client or subject, a lifetime out of range.
    async fn create_token(&self, request: &RequestContext, token: NewToken) -> Result<Token>;

    /// Finds a token by its secret, for that client only. An expired, rotated or revoked token is
    /// returned as such ([`Token::state`]), so that the caller can say why; one of another client
    /// is not found.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_token(
        &self,
        request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>>;

    /// Sets the token's `revoked` flag and ends its grant (RFC 7009 2.1): no credential of the grant
    /// is active after this returns, whatever runs at the same time. Nothing happens to an unknown
    /// token or one of another client, and the call succeeds (RFC 7009 2.2).
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
