//! Clients register themselves (RFC 7591, OpenID Connect Dynamic Client Registration).
//!
//! Everyone may. A server that is open to the world limits the rate, or asks for an initial access
//! token (RFC 7591 3).

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use oauth_storage::{ClientMetadata, NewClient, TokenEndpointAuthMethod};

use super::error::{OAuthError, Result};
use super::{Server, Shared};

pub(crate) async fn register(
    State(server): Shared,
    body: Result<Json<ClientMetadata>, JsonRejection>,
) -> Result<impl IntoResponse> {
    let Json(metadata) = body.map_err(|rejection| invalid(rejection.body_text()))?;
    let metadata = admit(&server, metadata)?;
    let registered = server.storage.register_client(NewClient::new(metadata)).await;
    let registered = registered.map_err(|error| match error.registration_error_code() {
        Some(code) => OAuthError::new(code, error.to_string()),
        None => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(registered.registration_response())))
}

/// The metadata to register. The storage knows what metadata is, this server what it offers.
fn admit(server: &Server, mut metadata: ClientMetadata) -> Result<ClientMetadata> {
    let offered = server.grant_types();
    if let Some(other) = metadata.grant_types.iter().find(|own| !offered.contains(own)) {
        return Err(invalid(format!("there is no grant type {other} here")));
    }
    let method = metadata.token_endpoint_auth_method;
    if method != TokenEndpointAuthMethod::None && !method.uses_secret() {
        return Err(invalid(format!("there is no authentication by {method} here")));
    }
    if metadata.scope.is_empty() {
        metadata.scope = server.config.scope.clone();
    } else if !metadata.scope.is_subset_of(&server.config.scope) {
        return Err(invalid(format!("the scope here is: {}", server.config.scope)));
    }
    // OpenID Connect's default would be RS256.
    let algorithm = metadata.details.other.entry("id_token_signed_response_alg");
    if *algorithm.or_insert("ES256".into()) != "ES256" {
        return Err(invalid("ID tokens are signed with ES256 here"));
    }
    Ok(metadata)
}

fn invalid(description: impl Into<String>) -> OAuthError {
    OAuthError::new("invalid_client_metadata", description)
}
