//! Who the user is, for whoever has an access token (OpenID Connect Core 5.3, RFC 6750).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum_extra::headers::HeaderMapExt as _;
use axum_extra::headers::authorization::{Authorization, Bearer};
use oauth_storage::{Secret, Storage, TokenKind};

use super::Shared;
use super::error::OAuthError;

pub(crate) async fn userinfo<S: Storage + 'static>(
    State(server): Shared<S>,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    let Some(Authorization(bearer)) = headers.typed_get::<Authorization<Bearer>>() else {
        // No credentials, so no error either (RFC 6750 3.1).
        return Ok(refuse(StatusCode::UNAUTHORIZED, ""));
    };
    let token = server.storage.introspect(&Secret::new(bearer.token())).await?;
    let Some(token) = token.filter(|token| token.kind == TokenKind::AccessToken) else {
        return Ok(refuse(StatusCode::UNAUTHORIZED, ", error=\"invalid_token\""));
    };
    match token.subject {
        Some(subject) if token.scope.contains("openid") => {
            let mut claims = (server.config.claims)(&subject, &token.scope);
            claims.insert("sub".into(), subject.into());
            Ok(Json(claims).into_response())
        }
        _ => {
            let error = ", error=\"insufficient_scope\", scope=\"openid\"";
            Ok(refuse(StatusCode::FORBIDDEN, error))
        }
    }
}

/// The challenge of RFC 6750 3.
fn refuse(status: StatusCode, error: &str) -> Response {
    let challenge = format!("Bearer realm=\"userinfo\"{error}");
    (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
}
