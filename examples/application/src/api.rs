//! The token endpoint (RFC 6749 3.2) and the protected API (RFC 6750).

use axum::{Json, extract::State};
use oauth_storage::{GrantStorageExt as _, RequestContext};
use oauth_storage_axum::{Bearer, ClientRequest, OAuthForm, TokenResponse};
use serde_json::{Value, json};

use crate::{App, Result};

pub(crate) async fn token(State(storage): App, request: ClientRequest) -> Result<TokenResponse> {
    Ok(request.exchange(&storage, &RequestContext::default()).await?.into())
}

pub(crate) async fn notes(bearer: Bearer) -> Result<Json<Value>> {
    Ok(Json(json!({ "owner": bearer.subject()?, "notes": ["buy tea"] })))
}

/// The applications with access to the user's data: a grant for each sign-in.
pub(crate) async fn applications(State(storage): App, bearer: Bearer) -> Result<Json<Value>> {
    let grants = storage.list_all_grants(bearer.subject()?).await?.into_iter().map(|grant| {
        json!({ "client_id": grant.client_id, "scope": grant.scope, "since": grant.granted_at })
    });
    Ok(Json(grants.collect()))
}

#[derive(serde::Deserialize)]
pub(crate) struct Application {
    client_id: String,
}

/// Needs no CSRF token, because a browser does not send a bearer token by itself.
pub(crate) async fn disconnect(
    State(storage): App,
    bearer: Bearer,
    OAuthForm(Application { client_id }): OAuthForm<Application>,
) -> Result<Json<Value>> {
    let revoked = storage.revoke_grants_of(bearer.subject()?, &client_id).await?;
    Ok(Json(json!({ "revoked": revoked })))
}
