//! The userinfo endpoint (OpenID Connect Core 5.3).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use oauth_storage::endpoint::{BearerError, require_scope};
use oauth_storage::token::Token;

use super::Shared;
use super::error::Result;

pub(crate) async fn userinfo(State(server): Shared, headers: HeaderMap) -> Result<Response> {
    let header = headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = require_scope(&*server.storage, header, "openid").await;
    // A client that acts for itself has no subject (RFC 6749 4.4).
    let insufficient = || BearerError::InsufficientScope { scope: "openid".into() };
    let subject = |token: Token| Ok((token.subject.ok_or_else(insufficient)?, token.scope));
    let (subject, scope) = match token.and_then(subject) {
        Ok(found) => found,
        Err(BearerError::Storage(error)) => return Err(error.into()),
        Err(error) => {
            let status = StatusCode::from_u16(error.http_status()).unwrap_or_default();
            let challenge = error.www_authenticate().unwrap_or_default();
            return Ok((status, [(header::WWW_AUTHENTICATE, challenge)]).into_response());
        }
    };
    let mut claims = (server.config.claims)(&subject, &scope);
    claims.insert("sub".into(), subject.into());
    Ok(Json(claims).into_response())
}
