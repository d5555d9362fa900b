//! The userinfo endpoint (OpenID Connect Core 5.3).

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use oauth_storage::endpoint::{BearerError, bearer_token, require_scope};
use oauth_storage::token::Token;
use serde::Deserialize;

use super::error::Result;
use super::{Server, Shared};

/// The access token in a form (RFC 6750 2.2).
#[derive(Deserialize)]
pub(crate) struct TokenForm {
    access_token: Option<String>,
}

pub(crate) async fn get(State(server): Shared, headers: HeaderMap) -> Result<Response> {
    claims(&server, authorization(&headers)).await
}

pub(crate) async fn post(
    State(server): Shared,
    headers: HeaderMap,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Result<Response> {
    let header = authorization(&headers);
    let in_form = match form {
        Ok(Form(form)) => form.access_token.filter(|token| !token.is_empty()),
        // With the token in the header the body may be empty, or not a form.
        Err(FormRejection::InvalidFormContentType(_)) => None,
        Err(_) => return Ok(invalid_request()),
    };
    match in_form {
        // One method in each request (RFC 6750 2).
        Some(_) if bearer_token(header).is_some() => Ok(invalid_request()),
        Some(token) => claims(&server, Some(&format!("Bearer {token}"))).await,
        None => claims(&server, header).await,
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok())
}

async fn claims(server: &Server, authorization: Option<&str>) -> Result<Response> {
    let token = require_scope(&*server.storage, authorization, "openid").await;
    // A client that acts for itself has no subject (RFC 6749 4.4).
    let insufficient = || BearerError::InsufficientScope { scope: "openid".into() };
    let subject = |token: Token| Ok((token.subject.ok_or_else(insufficient)?, token.scope));
    let (subject, scope) = match token.and_then(subject) {
        Ok(found) => found,
        Err(BearerError::Storage(error)) => return Err(error.into()),
        Err(error) => {
            let status = StatusCode::from_u16(error.http_status()).unwrap_or_default();
            return Ok(challenge(status, error.www_authenticate().unwrap_or_default()));
        }
    };
    let mut claims = (server.config.claims)(&subject, &scope);
    claims.insert("sub".into(), subject.into());
    Ok(Json(claims).into_response())
}

fn invalid_request() -> Response {
    let value = r#"Bearer realm="OAuth", error="invalid_request""#;
    challenge(StatusCode::BAD_REQUEST, value.to_owned())
}

fn challenge(status: StatusCode, value: String) -> Response {
    (status, [(header::WWW_AUTHENTICATE, value)]).into_response()
}
