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
use oauth_storage::client::{RegisteredClient, TokenEndpointAuthMethod};
use oauth_storage::id_token::SigningAlgorithm;
use oauth_storage::{ClientMetadata, Error, NewClient};
use serde_json::{Map, Value};

use super::error::{OAuthError, Result, ensure};
use super::{Server, Shared};

pub(crate) const INVALID: &str = "invalid_client_metadata";

/// The members beyond those of the storage that this server acts on.
const KEPT: [&str; 5] = [
    "id_token_signed_response_alg",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
    "require_pushed_authorization_requests",
];

pub(crate) async fn register(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<impl IntoResponse> {
    server.registrations.check(address)?;
    let Json(body) = body.map_err(|error| OAuthError::new(INVALID, error.body_text()))?;
    let metadata = ClientMetadata::from_json(body).map_err(refused)?;
    metadata.check().map_err(refused)?;
    let new = NewClient::new(admit(&server, metadata)?).with_registration_access_token(true);
    let registered = server.storage.register_client(new).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(response(&server, &registered))))
}

/// The body of a response, with the URL of the client configuration endpoint (RFC 7592 3).
pub(crate) fn response(server: &Server, registered: &RegisteredClient) -> Map<String, Value> {
    let mut body = registered.registration_response();
    let url = format!("{}/register/{}", server.config.issuer, registered.client.client_id);
    body.insert("registration_client_uri".into(), url.into());
    body
}

pub(crate) fn refused(error: Error) -> OAuthError {
    match error.registration_error_code() {
        Some(code) => OAuthError::new(code, error.to_string()),
        None => error.into(),
    }
}

/// Checks that the server offers what the metadata asks for, and returns the metadata to register.
pub(crate) fn admit(server: &Server, mut metadata: ClientMetadata) -> Result<ClientMetadata> {
    let offered = server.grant_types();
    let is_offered = metadata.grant_types.iter().all(|own| offered.contains(own));
    ensure(is_offered, INVALID, "one of the grant types is not offered here")?;
    let method = metadata.token_endpoint_auth_method;
    let is_offered = match method {
        TokenEndpointAuthMethod::PrivateKeyJwt => metadata.details.jwks.is_some(),
        method => method == TokenEndpointAuthMethod::None || method.uses_secret(),
    };
    ensure(is_offered, INVALID, "this authentication is not offered here")?;
    if metadata.scope.is_empty() {
        metadata.scope = server.config.scope.clone();
    }
    let is_offered = metadata.scope.is_subset_of(&server.config.scope);
    ensure(is_offered, INVALID, &format!("the scope here is: {}", server.config.scope))?;
    // The default of OpenID Connect is RS256, which needs an RSA key.
    let offered = server.signer.keys().algorithms();
    let default = offered.iter().find(|own| **own == SigningAlgorithm::RS256).or(offered.first());
    let other = &mut metadata.details.other;
    let default = default.map_or("", |own| own.as_str());
    let algorithm = other.entry("id_token_signed_response_alg").or_insert(default.into());
    let is_offered = offered.iter().any(|own| *algorithm == own.as_str());
    ensure(is_offered, INVALID, "no such id_token_signed_response_alg here")?;
    // Unknown members are ignored (RFC 7591 2). To register them would promise what the server does
    // not do, such as encrypted tokens. Names in other languages stay.
    other.retain(|name, _| name.contains('#') || KEPT.contains(&name.as_str()));
    Ok(metadata)
}
