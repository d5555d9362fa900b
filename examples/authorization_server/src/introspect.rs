//! Introspection (RFC 7662) and revocation (RFC 7009).

use axum::Json;
use axum::extract::State;
use oauth_storage::client::Client;
use oauth_storage::endpoint::introspection_response;
use oauth_storage::token::{Token, TokenKind, TokenRef};
use serde_json::{Map, Value};

use super::client::ClientForm;
use super::error::{OAuthError, Result, require};
use super::{ResourceServer, Shared};

/// For the client of the token and for resource servers, which are confidential clients (RFC 7662
/// 2.1). For everybody else no token is active (RFC 7662 4).
pub(crate) async fn introspect(
    State(server): Shared,
    ClientForm { client, form }: ClientForm,
) -> Result<Json<Map<String, Value>>> {
    if client.is_public() {
        return Err(OAuthError::invalid_client());
    }
    let found = server.storage.introspect(&require(form.token, "token")?).await?;
    let resource_servers = &server.config.resource_servers;
    let found = found.filter(|token| {
        token.client_id == client.client_id
            || resource_servers.iter().any(|own| own.may_see(token, &client))
    });
    Ok(Json(introspection_response(found.as_ref())))
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
pub(crate) async fn revoke(
    State(server): Shared,
    ClientForm { client, form }: ClientForm,
) -> Result<()> {
    let token = require(form.token, "token")?;
    let (request, token) = (server.request(None), TokenRef::Any(&token));
    Ok(server.storage.revoke_token(&request, &client.client_id, token).await?)
}
