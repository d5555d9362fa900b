use async_trait::async_trait;

use crate::error::Result;
use crate::model::{NewToken, Token, TokenRef};
use crate::request::Request;

/// Access and refresh tokens.
#[async_trait]
pub trait TokenStorage: Send + Sync {
    /// Stores an access token, and the refresh token that is issued with it, before it returns:
    /// both or neither. Lifetimes come from the request's settings, and the subject, where the new
    /// token names none, from its user. Gives the record of the access token.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) names the field: `client_id` that is unknown or
    /// disabled, `access_token` or `refresh_token` that exists already or breaks the syntax, a
    /// lifetime out of range.
    async fn create_token(&self, request: &Request, token: NewToken) -> Result<Token>;

    /// Finds a token by its secret, for that client only. An expired, rotated or revoked token is
    /// returned as such ([`Token::state`]), so that the caller can say why; one of another client
    /// is not found.
    ///
    /// # Errors
    /// None that depend on the token: what cannot be a token is not found.
    async fn get_token(
        &self,
        request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>>;

    /// Sets the `revoked` flag (RFC 7009 2.1). A refresh token takes every token of its grant with
    /// it, and a code of the grant that was not yet used; an access token takes the refresh token
    /// that was issued with it. After it returns none of them is active, whatever ran at the same
    /// time. An unknown token, or one of another client: nothing, and success (RFC 7009 2.2).
    ///
    /// # Errors
    /// None that depend on the token.
    async fn revoke_token(
        &self,
        request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()>;
}

forward!(TokenStorage {
    fn create_token(&self, request: &Request, token: NewToken) -> Result<Token>;
    fn get_token(&self, request: &Request, client_id: &str, token: TokenRef<'_>) -> Result<Option<Token>>;
    fn revoke_token(&self, request: &Request, client_id: &str, token: TokenRef<'_>) -> Result<()>;
});
