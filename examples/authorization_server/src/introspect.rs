//! Introspection (RFC 7662) and revocation (RFC 7009).

use axum::extract::State;
use oauth_storage::client::Client;
use oauth_storage::token::{Token, TokenKind, TokenRef};
use oauth_storage_axum::IntrospectionResponse;

use super::client::ClientForm;
use super::error::{Result, require};
use super::{ResourceServer, Shared};

/// For the client of the token and for resource servers, which are confidential clients (RFC 7662
/// 2.1). For everybody else no token is active (RFC 7662 4).
pub(crate) async fn introspect(
    State(server): Shared,
    ClientForm(asked): ClientForm,
) -> Result<IntrospectionResponse> {
    asked.require_secret()?;
    let (client, form) = (asked.client, asked.form);
    let found = server.storage.introspect(&require(form.token, "token")?).await?;
    let resource_servers = &server.config.resource_servers;
    let found = found.filter(|token| {
        token.client_id == client.client_id
            || resource_servers.iter().any(|own| own.may_see(token, &client))
    });
    Ok(IntrospectionResponse(found))
}

impl ResourceServer {
    /// Returns true if the client is this resource server and the token gives access to it. A resource
    /// server must not take the refresh token of another client for an access token.
    fn may_see(&self, token: &Token, client: &Client) -> bool {
        self.client_id == client.client_id
            && token.kind == TokenKind::Access
            && self.scope.iter().any(|own| token.scope.contains(own))
    }
}

/// Revokes the token and its grant. An unknown token, or one of another client, is left as it is;
/// the response is the same (RFC 7009 2.2).
pub(crate) async fn revoke(State(server): Shared, ClientForm(asked): ClientForm) -> Result<()> {
    let token = require(asked.form.token, "token")?;
    let (request, token) = (server.request(None), TokenRef::Any(&token));
    Ok(server.storage.revoke_token(&request, &asked.client.client_id, token).await?)
}
