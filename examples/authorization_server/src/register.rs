//! Dynamic client registration (RFC 7591, OpenID Connect Dynamic Client Registration).
//!
//! It is open to everyone, at a limited rate. A registered client can make this server redirect people
//! to the registered URIs, because a refused request redirects at once (RFC 9700 4.11.2). A public
//! server requires an initial access token (RFC 7591 3) or checks the URIs.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use oauth_storage::client::TokenEndpointAuthMethod;
use oauth_storage::{ClientMetadata, Error, NewClient};
use serde_json::Value;

use super::error::{OAuthError, Result, ensure};
use super::{Server, Shared};

const INVALID: &str = "invalid_client_metadata";

pub(crate) async fn register(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<impl IntoResponse> {
    server.registrations.check(address)?;
    let Json(body) = body.map_err(|error| OAuthError::new(INVALID, error.body_text()))?;
    let refused = |error: Error| match error.registration_error_code() {
        Some(code) => OAuthError::new(code, error.to_string()),
        None => error.into(),
    };
    let metadata = ClientMetadata::from_json(body).map_err(refused)?;
    metadata.check().map_err(refused)?;
    let new = NewClient::new(admit(&server, metadata)?);
    let registered = server.storage.register_client(new).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(registered.registration_response())))
}

/// Checks that the server offers what the metadata asks for, and returns the metadata to register.
fn admit(server: &Server, mut metadata: ClientMetadata) -> Result<ClientMetadata> {
    let offered = server.grant_types();
    let is_offered = metadata.grant_types.iter().all(|own| offered.contains(own));
    ensure(is_offered, INVALID, "one of the grant types is not offered here")?;
    let method = metadata.token_endpoint_auth_method;
    let is_offered = method == TokenEndpointAuthMethod::None || method.uses_secret();
    ensure(is_offered, INVALID, "this authentication is not offered here")?;
    if metadata.scope.is_empty() {
        metadata.scope = server.config.scope.clone();
    }
    let is_offered = metadata.scope.is_subset_of(&server.config.scope);
    ensure(is_offered, INVALID, &format!("the scope here is: {}", server.config.scope))?;
    // The default of OpenID Connect would be RS256.
    let other = &mut metadata.details.other;
    let algorithm = other.entry("id_token_signed_response_alg").or_insert("ES256".into());
    ensure(*algorithm == "ES256", INVALID, "ID tokens are signed with ES256 here")?;
    // Unknown members are ignored (RFC 7591 2). To register them would promise what the server does
    // not do, such as encrypted tokens. Names in other languages stay.
    other.retain(|name, _| name.contains('#') || name == "id_token_signed_response_alg");
    Ok(metadata)
}
