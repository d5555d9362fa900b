//! An authorization server and the API that it protects, in one service on any [`Storage`].
//!
//! A real server adds: TLS, a session cookie (`Secure`, `HttpOnly`, `SameSite=Lax`) so that a user
//! signs in once, a CSRF token in the forms of that session, and a rate limit for passwords.

mod api;
mod authorize;
#[cfg(test)]
mod tests;

use std::{future::ready, sync::Arc, time::Duration};

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, extract::State};
use metrics_exporter_prometheus::PrometheusHandle;
use oauth_storage::endpoint::ErrorResponse;
use oauth_storage::{ClientMetadata, Error, GrantStorageExt as _, NewClient, Storage};

type App = State<Arc<dyn Storage>>;
type Result<T, E = Refusal> = std::result::Result<T, E>;

/// The issuer, which identifies this server in its responses (RFC 9207).
const ISSUER: &str = "http://127.0.0.1:8080";

/// Headers of every response: no caching (RFC 6749 5.1), no framing (RFC 9700 4.16).
const HEADERS: [(HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// The routes. A real server shows `/metrics` on an internal address only.
pub fn router(storage: impl Storage + 'static, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/authorize", get(authorize::authorize).post(authorize::authorize))
        .route("/token", post(api::token))
        .route("/revoke", post(api::revoke))
        .route("/notes", get(api::notes))
        .route("/applications", get(api::applications))
        .route("/disconnect", post(api::disconnect))
        .route("/metrics", get(move || ready(metrics.render())))
        .with_state(Arc::new(storage) as Arc<dyn Storage>)
}

/// Registers the one client: public, so PKCE is its only proof that a code is its own.
pub async fn register_client(storage: &impl Storage) -> Result<(), Error> {
    let metadata = ClientMetadata::authorization_code(["http://127.0.0.1:8081/callback"])
        .with_scope("notes:read account".parse()?)
        .public();
    storage.register_client(NewClient::new(metadata).with_client_id("notes")).await.map(drop)
}

/// Removes expired rows every minute, forever. Any number of nodes can do it at once.
pub async fn purge(storage: impl Storage, metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(Duration::from_mins(1));
    loop {
        interval.tick().await;
        metrics.run_upkeep();
        if let Err(error) = storage.purge().await {
            tracing::warn!(%error, "the purge failed; the next one continues");
        }
    }
}

struct Refusal(ErrorResponse);

fn refuse(code: &'static str) -> Refusal {
    Refusal(ErrorResponse::new(code))
}

impl<E: Into<ErrorResponse>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or_default();
        let body = self.0.body();
        let challenge = self.0.www_authenticate.map(|value| [(header::WWW_AUTHENTICATE, value)]);
        (status, HEADERS, challenge, Json(body)).into_response()
    }
}
