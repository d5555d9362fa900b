//! Pushed authorization requests (RFC 9126).

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use oauth_storage::Secret;
use oauth_storage::client::Client;
use oauth_storage::endpoint::QueryParameters;
use oauth_storage::pending_request::NewPendingRequest;
use oauth_storage::pushed_request::NewPushedRequest;
use oauth_storage_axum::{ClientRequest, Dpop};
use serde_json::{Map, Value};

use super::authorization::Authorization;
use super::callback::Callback;
use super::error::{OAuthError, Result, ensure};
use super::{Server, Shared, digest};

/// The time that the user has to sign in and to agree.
const WAIT: Duration = Duration::from_mins(30);

/// Checks a request as the authorization endpoint would, and stores it.
pub(crate) async fn push(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Dpop(jkt): Dpop,
    asked: ClientRequest,
) -> Result<impl IntoResponse> {
    server.requests.check(address)?;
    let mut pushed = asked.pushed_parameters()?;
    // The key of a proof binds the tokens, as `dpop_jkt` does (RFC 9449 10.1).
    if let Some(jkt) = jkt {
        let named = pushed.insert("dpop_jkt".into(), jkt.as_str().into());
        let is_same = named.is_none_or(|named| named == jkt.as_str());
        ensure(is_same, "invalid_dpop_proof", "dpop_jkt is another key")?;
    }
    let parameters = parse(pushed.clone())?;
    let callback = Callback::new(&asked.client, &parameters, &server.config.issuer)?;
    let new = NewPushedRequest::new(&asked.client.client_id, pushed);
    Authorization::check(&server, asked.client, callback, parameters, String::new())?;
    let response = server.storage.push_request(new).await?.response();
    Ok((StatusCode::CREATED, Json(response)))
}

fn parse(pushed: Map<String, Value>) -> Result<QueryParameters> {
    serde_json::from_value(pushed.into())
        .map_err(|error| OAuthError::new("invalid_request", error.to_string()))
}

/// Returns true if it is a reference that this server gave to a client.
pub(crate) fn is_reference(request_uri: &str) -> bool {
    request_uri.starts_with("urn:ietf:params:oauth:request_uri:")
}

/// Returns true if the client registered that it pushes all its requests (RFC 9126 6).
pub(crate) fn is_required(client: &Client) -> bool {
    let required = client.metadata.details.other.get("require_pushed_authorization_requests");
    required == Some(&Value::Bool(true))
}

/// Only a digest of a reference is the identifier of the pending request.
fn pending_id(client_id: &str, request_uri: &str) -> Secret {
    Secret::new(digest(&["pushed", client_id, request_uri]))
}

fn used() -> OAuthError {
    OAuthError::new("invalid_request", "This request was answered, or it is too old.")
}

/// Takes the parameters that a client pushed. They wait as a pending request for the user, who may
/// load a page again, and are there until [`finish`].
pub(crate) async fn read(
    server: &Server,
    client_id: &str,
    request_uri: &str,
) -> Result<QueryParameters> {
    let id = pending_id(client_id, request_uri);
    if let Some(pending) = server.storage.find_pending_request(&id).await? {
        return parse(pending.value);
    }
    let taken = server.storage.take_pushed_request(client_id, request_uri).await?;
    let taken = taken.ok_or_else(used)?;
    let mut new = NewPendingRequest::new(taken.clone(), WAIT)?;
    new.id = id;
    server.storage.suspend_request(new).await?;
    parse(taken)
}

/// Ends a request, so that it is answered once.
pub(crate) async fn finish(server: &Server, client_id: &str, request_uri: &str) -> Result<()> {
    let id = pending_id(client_id, request_uri);
    server.storage.resume_request(&id).await?.map(drop).ok_or_else(used)
}
