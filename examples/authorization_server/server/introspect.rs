//! What a token is good for (RFC 7662), and its end (RFC 7009).

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::HeaderMap;
use axum::{Form, Json};
use oauth_storage::{FormParameters, Storage, TokenKind, TokenRef};
use serde_json::{Value, json};

use super::Shared;
use super::error::OAuthError;

/// For resource servers, which are confidential clients here.
pub(crate) async fn introspect<S: Storage + 'static>(
    State(server): Shared<S>,
    headers: HeaderMap,
    form: Result<Form<FormParameters>, FormRejection>,
) -> Result<Json<Value>, OAuthError> {
    let Form(form) = form?;
    let client = server.client(&headers, &form).await?;
    if client.is_public() {
        return Err(OAuthError::invalid_client());
    }
    let token = form.token.ok_or_else(|| OAuthError::missing("token"))?;
    let Some(token) = server.storage.introspect(&token).await? else {
        return Ok(Json(json!({ "active": false })));
    };
    let mut body = json!({
        "active": true,
        "client_id": token.client_id,
        "scope": token.scope,
        "iat": token.issued_at.timestamp(),
        "exp": token.expires_at.timestamp(),
        "iss": server.config.issuer,
    });
    if let Some(subject) = token.subject {
        body["sub"] = subject.into();
    }
    if token.kind == TokenKind::AccessToken {
        body["token_type"] = "Bearer".into();
    }
    Ok(Json(body))
}

/// Always a success for a client that is who it says: a token that is unknown, or another
/// client's, is no business of its (RFC 7009 2.2).
pub(crate) async fn revoke<S: Storage + 'static>(
    State(server): Shared<S>,
    headers: HeaderMap,
    form: Result<Form<FormParameters>, FormRejection>,
) -> Result<(), OAuthError> {
    let Form(form) = form?;
    let client = server.client(&headers, &form).await?;
    let token = form.token.ok_or_else(|| OAuthError::missing("token"))?;
    let token = TokenRef::Any(&token);
    Ok(server.storage.revoke_token(&server.request(), &client.client_id, token).await?)
}
