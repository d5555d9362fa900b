//! Clients register themselves (RFC 7591, OpenID Connect Dynamic Client Registration).
//!
//! Everyone may. A server that is open to the world limits the rate, or asks for an initial access
//! token (RFC 7591 3).

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use oauth_storage::{ClientMetadata, NewClient, Storage, TokenEndpointAuthMethod};

use super::error::OAuthError;
use super::{Server, Shared};

pub(crate) async fn register<S: Storage + 'static>(
    State(server): Shared<S>,
    body: Result<Json<ClientMetadata>, JsonRejection>,
) -> Result<Response, OAuthError> {
    let Json(metadata) =
        body.map_err(|rejection| OAuthError::new(INVALID, rejection.body_text()))?;
    let metadata = server.admit(metadata)?;
    let registered = server.storage.register_client(NewClient::new(metadata)).await;
    let registered = registered.map_err(|error| match error.registration_error_code() {
        Some(code) => OAuthError::new(code, error.to_string()),
        None => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(registered.registration_response())).into_response())
}

const INVALID: &str = "invalid_client_metadata";

impl<S: Storage + 'static> Server<S> {
    /// The metadata that is registered. The storage knows what metadata is, and this server what
    /// it offers.
    fn admit(&self, mut metadata: ClientMetadata) -> Result<ClientMetadata, OAuthError> {
        let offered = self.grant_types();
        if let Some(other) = metadata.grant_types.iter().find(|own| !offered.contains(own)) {
            return Err(OAuthError::new(INVALID, format!("no grant type {other} here")));
        }
        let method = metadata.token_endpoint_auth_method;
        if method != TokenEndpointAuthMethod::None && !method.uses_secret() {
            return Err(OAuthError::new(INVALID, format!("no authentication by {method} here")));
        }
        if metadata.scope.is_empty() {
            metadata.scope = self.config.scope.clone();
        } else if !metadata.scope.is_subset_of(&self.config.scope) {
            return Err(OAuthError::new(INVALID, format!("scopes: {}", self.config.scope)));
        }
        // OpenID Connect's default would be RS256.
        let algorithm = metadata.details.other.entry("id_token_signed_response_alg");
        if *algorithm.or_insert("ES256".into()) != "ES256" {
            return Err(OAuthError::new(INVALID, "ID tokens are signed with ES256 here"));
        }
        Ok(metadata)
    }
}
