//! A client, tokens, and a request.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use oauth_storage::grant::GrantContext;
use oauth_storage::postgres::PgStorageBuilder;
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, MemoryStorage, NewClient, PgStorage, RequestContext, Storage, TokenPair,
};
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt as _;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn challenge(&self) -> &str {
        self.header(header::WWW_AUTHENTICATE.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status and the error code of the body.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap().to_owned())
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// A GET with these `Authorization` headers.
pub(crate) async fn get(router: &Router, uri: &str, authorization: &[&str]) -> Answer {
    let request = Request::get(uri);
    let request = authorization
        .iter()
        .fold(request, |request, value| request.header(header::AUTHORIZATION, *value));
    send(router, request.body(Body::empty()).unwrap()).await
}

/// A POST of a form with these `Authorization` headers.
pub(crate) async fn post(router: &Router, uri: &str, authorization: &[&str], form: &str) -> Answer {
    let request = Request::post(uri).header(header::CONTENT_TYPE, FORM);
    let request = authorization
        .iter()
        .fold(request, |request, value| request.header(header::AUTHORIZATION, *value));
    send(router, request.body(form.to_owned().into()).unwrap()).await
}

/// Registers a client that acts for itself, with this identifier.
pub(crate) async fn register(storage: &impl Storage, id: &str) {
    let new = NewClient::new(ClientMetadata::client_credentials()).with_client_id(id);
    storage.register_client(new).await.unwrap();
}

/// A storage with a client.
pub(crate) async fn storage() -> MemoryStorage {
    let storage = MemoryStorage::new();
    register(&storage, "c").await;
    storage
}

/// Stores tokens of alice with this scope.
pub(crate) async fn issue(storage: &impl Storage, scope: &str) -> TokenPair {
    issue_with(storage, scope, Some("alice"), GrantContext::default()).await
}

pub(crate) async fn issue_with(
    storage: &impl Storage,
    scope: &str,
    subject: Option<&str>,
    context: GrantContext,
) -> TokenPair {
    let tokens = TokenPair::generate().unwrap();
    let new = NewToken::new("c", scope.parse().unwrap(), tokens.clone()).with_context(context);
    let new = subject.into_iter().fold(new, NewToken::with_subject);
    storage.create_token(&RequestContext::default(), new).await.unwrap();
    tokens
}

/// A storage whose server does not answer.
pub(crate) fn unreachable_storage() -> PgStorage {
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(200));
    let pool = pool.connect_lazy("postgres://nobody@127.0.0.1:1/nowhere").unwrap();
    PgStorageBuilder::default().build_with_pool(pool)
}

/// A closed storage. No retry can succeed.
pub(crate) async fn closed_storage() -> PgStorage {
    let storage = unreachable_storage();
    storage.pool().close().await;
    storage
}

pub(crate) const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
