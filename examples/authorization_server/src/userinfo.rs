//! The userinfo endpoint (OpenID Connect Core 5.3).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::headers::HeaderMapExt as _;
use axum_extra::headers::authorization::{Authorization, Bearer};
use oauth_storage::Secret;
use oauth_storage::token::TokenKind;

use super::Shared;
use super::error::Result;

pub(crate) async fn userinfo(State(server): Shared, headers: HeaderMap) -> Result<Response> {
    let Some(Authorization(bearer)) = headers.typed_get::<Authorization<Bearer>>() else {
        // Without a token there is no error code (RFC 6750 3.1).
        return Ok(challenge(StatusCode::UNAUTHORIZED, ""));
    };
    let token = server.storage.introspect(&Secret::new(bearer.token())).await?;
    let Some(token) = token.filter(|token| token.kind == TokenKind::Access) else {
        return Ok(challenge(StatusCode::UNAUTHORIZED, ", error=\"invalid_token\""));
    };
    let Some(subject) = token.subject.filter(|_| token.scope.contains("openid")) else {
        let error = ", error=\"insufficient_scope\", scope=\"openid\"";
        return Ok(challenge(StatusCode::FORBIDDEN, error));
    };
    let mut claims = (server.config.claims)(&subject, &token.scope);
    claims.insert("sub".into(), subject.into());
    Ok(Json(claims).into_response())
}

/// A response with a `WWW-Authenticate` challenge (RFC 6750 3).
fn challenge(status: StatusCode, error: &str) -> Response {
    let challenge = format!("Bearer realm=\"userinfo\"{error}");
    (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
}
