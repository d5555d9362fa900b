//! The client configuration endpoint (RFC 7592): a client reads, changes and deletes its registration, with
//! the registration access token that it got at its registration.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use oauth_storage::client::{Client, RegisteredClient};
use oauth_storage::endpoint::bearer_token;
use oauth_storage::{ClientMetadata, RequestContext, Secret};
use serde_json::{Map, Value};

use super::error::{OAuthError, Result, invalid_token};
use super::register::{INVALID, admit, refused, response};
use super::{Server, Shared};

pub(crate) async fn read(
    State(server): Shared,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Map<String, Value>>> {
    let (client, token) = authenticate(&server, &client_id, &headers).await?;
    let registered = RegisteredClient::new(client).with_registration_access_token(token);
    Ok(Json(response(&server, &registered)))
}

/// Replaces the whole metadata (RFC 7592 2.2).
pub(crate) async fn update(
    State(server): Shared,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Map<String, Value>>> {
    let (before, token) = authenticate(&server, &client_id, &headers).await?;
    let Json(mut body) = body.map_err(|error| OAuthError::new(INVALID, error.body_text()))?;
    if let Some(members) = body.as_object_mut() {
        check_secret(&server, &client_id, members.remove("client_secret")).await?;
    }
    let metadata = ClientMetadata::from_json_of(&client_id, body).map_err(refused)?;
    metadata.check().map_err(refused)?;
    // A new secret would have to be shown, which this server does not do.
    let uses_secret = |metadata: &ClientMetadata| metadata.token_endpoint_auth_method.uses_secret();
    if uses_secret(&metadata) && !uses_secret(&before.metadata) {
        return Err(OAuthError::new(INVALID, "register again for a client secret"));
    }
    let changed = server.storage.update_client(&client_id, admit(&server, metadata)?).await;
    let changed = changed.map_err(refused)?.ok_or_else(invalid_token)?;
    let registered = RegisteredClient::new(changed).with_registration_access_token(token);
    Ok(Json(response(&server, &registered)))
}

/// Deletes the client, with its grants and tokens (RFC 7592 2.3).
pub(crate) async fn delete(
    State(server): Shared,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    authenticate(&server, &client_id, &headers).await?;
    server.storage.delete_client(&client_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Finds the client by its registration access token. The error is the same if the client does not exist.
async fn authenticate(
    server: &Server,
    client_id: &str,
    headers: &HeaderMap,
) -> Result<(Client, Secret)> {
    let header = headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = bearer_token(header).ok_or_else(invalid_token)?;
    let found = server.storage.get_registration(client_id, &token).await?;
    found.map(|client| (client, token)).ok_or_else(invalid_token)
}

/// A secret in the request must be the current one (RFC 7592 2.2).
async fn check_secret(server: &Server, client_id: &str, given: Option<Value>) -> Result<()> {
    let Some(given) = given.filter(|given| !given.is_null()) else { return Ok(()) };
    let secret = Secret::new(given.as_str().unwrap_or_default());
    let request = RequestContext::default();
    match server.storage.get_client(&request, client_id, Some(&secret)).await? {
        Some(_) => Ok(()),
        None => Err(OAuthError::new(INVALID, "the client_secret is another one")),
    }
}
