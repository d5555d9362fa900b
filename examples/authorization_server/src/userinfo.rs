//! The userinfo endpoint (OpenID Connect Core 5.3).

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use oauth_storage::Scope;
use oauth_storage::token::Token;
use oauth_storage_axum::{Bearer, BearerForm};
use serde_json::{Map, Value};

use super::error::{OAuthError, Result};
use super::{Server, Shared, dpop};

type Claims = Json<Map<String, Value>>;

pub(crate) async fn get(
    State(server): Shared,
    headers: HeaderMap,
    bearer: Result<Bearer>,
) -> Result<Claims> {
    match dpop::token(&server, &headers, "GET", "userinfo").await? {
        Some(token) => bound_claims(&server, &token),
        None => claims(&server, &bearer?),
    }
}

/// The access token may be in a form (RFC 6750 2.2).
pub(crate) async fn post(
    State(server): Shared,
    headers: HeaderMap,
    bearer: Result<BearerForm>,
) -> Result<Claims> {
    match dpop::token(&server, &headers, "POST", "userinfo").await? {
        Some(token) => bound_claims(&server, &token),
        None => claims(&server, &bearer?.0),
    }
}

fn claims(server: &Server, bearer: &Bearer) -> Result<Claims> {
    let subject = bearer.require_scope("openid")?.subject()?;
    Ok(claims_of(server, subject, &bearer.token.scope))
}

fn bound_claims(server: &Server, token: &Token) -> Result<Claims> {
    token.require_scope("openid")?;
    let no_user =
        || OAuthError::new("insufficient_scope", "the access token has no resource owner");
    let subject = token.subject.as_deref().ok_or_else(no_user)?;
    Ok(claims_of(server, subject, &token.scope))
}

fn claims_of(server: &Server, subject: &str, scope: &Scope) -> Claims {
    let mut claims = (server.config.claims)(subject, scope);
    claims.insert("sub".into(), subject.into());
    Json(claims)
}
