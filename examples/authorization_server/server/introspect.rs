//! What a token is good for (RFC 7662), and its end (RFC 7009).

use axum::Json;
use axum::extract::State;
use oauth_storage::{TokenKind, TokenRef};
use serde_json::{Value, json};

use super::Shared;
use super::client::ClientForm;
use super::error::OAuthError;

/// For resource servers, which are clients that prove who they are (RFC 7662 2.1).
pub(crate) async fn introspect(
    State(server): Shared,
    ClientForm(client, form): ClientForm,
) -> Result<Json<Value>, OAuthError> {
    if client.is_public() {
        return Err(OAuthError::invalid_client());
    }
    let token = form.token.ok_or_else(|| OAuthError::missing("token"))?;
    let Some(token) = server.storage.introspect(&token).await? else {
        return Ok(Json(json!({ "active": false })));
    };
    let mut response = json!({
        "active": true,
        "client_id": token.client_id,
        "scope": token.scope,
        "iat": token.issued_at.timestamp(),
        "exp": token.expires_at.timestamp(),
        "iss": server.config.issuer,
    });
    if let Some(subject) = token.subject {
        response["sub"] = subject.into();
    }
    if token.kind == TokenKind::AccessToken {
        response["token_type"] = "Bearer".into();
    }
    Ok(Json(response))
}

/// A success for any token: one that is unknown, or another client's, is left alone, and that is
/// nothing to tell (RFC 7009 2.2).
pub(crate) async fn revoke(
    State(server): Shared,
    ClientForm(client, form): ClientForm,
) -> Result<(), OAuthError> {
    let token = form.token.ok_or_else(|| OAuthError::missing("token"))?;
    let (request, token) = (server.request(None), TokenRef::Any(&token));
    Ok(server.storage.revoke_token(&request, &client.client_id, token).await?)
}
