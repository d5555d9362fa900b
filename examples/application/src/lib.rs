//! An authorization server and the API that it protects, in one service on any [`Storage`].
//!
//! A real server adds: TLS, a session cookie (`Secure`, `HttpOnly`, `SameSite=Lax`) so that a user
//! signs in once, a CSRF token in the forms of that session, and a rate limit for passwords.

mod api;
mod authorize;
#[cfg(test)]
mod tests;

use std::{future::ready, sync::Arc};

use axum::http::{HeaderName, header};
use axum::routing::{get, post};
use axum::{Router, extract::State};
use metrics_exporter_prometheus::PrometheusHandle;
use oauth_storage::{ClientMetadata, Error, NewClient, Storage};
use oauth_storage_axum::{OAuthError, OAuthState, RequireScope, revoke};

type App = State<Arc<dyn Storage>>;
type Result<T, E = OAuthError> = std::result::Result<T, E>;

/// The issuer, which identifies this server in its responses (RFC 9207).
const ISSUER: &str = "http://127.0.0.1:8080";

/// Headers of every page: no caching, no framing (RFC 9700 4.16).
const HEADERS: [(HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// The routes. A real server shows `/metrics` on an internal address only.
pub fn router(storage: impl Storage + 'static, metrics: PrometheusHandle) -> Router {
    let state = OAuthState::new(storage).with_issuer(ISSUER);
    let scope = |scope: &str| RequireScope::new(&state, scope);
    let metrics = move || {
        metrics.run_upkeep();
        ready(metrics.render())
    };
    Router::new()
        .route("/authorize", get(authorize::authorize).post(authorize::authorize))
        .route("/token", post(api::token))
        .route("/revoke", post(revoke))
        .route("/notes", get(api::notes).route_layer(scope("notes:read")))
        .route("/applications", get(api::applications).route_layer(scope("account")))
        .route("/disconnect", post(api::disconnect).route_layer(scope("account")))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Registers the one client: public, so PKCE is its only proof that a code is its own.
pub async fn register_client(storage: &impl Storage) -> Result<(), Error> {
    let metadata = ClientMetadata::authorization_code(["http://127.0.0.1:8081/callback"])
        .with_scope("notes:read account".parse()?)
        .public();
    storage.register_client(NewClient::new(metadata).with_client_id("notes")).await.map(drop)
}
