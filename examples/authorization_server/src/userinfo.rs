//! The userinfo endpoint (OpenID Connect Core 5.3).

use axum::Json;
use axum::extract::State;
use oauth_storage_axum::{Bearer, BearerForm};
use serde_json::{Map, Value};

use super::Shared;
use super::error::Result;

type Claims = Json<Map<String, Value>>;

pub(crate) async fn get(State(server): Shared, bearer: Bearer) -> Result<Claims> {
    let subject = bearer.require_scope("openid")?.subject()?;
    let mut claims = (server.config.claims)(subject, &bearer.token.scope);
    claims.insert("sub".into(), subject.into());
    Ok(Json(claims))
}

/// The access token may be in a form (RFC 6750 2.2).
pub(crate) async fn post(server: Shared, BearerForm(bearer): BearerForm) -> Result<Claims> {
    get(server, bearer).await
}
