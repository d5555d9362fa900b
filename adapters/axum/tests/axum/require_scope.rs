//! The layer that requires a scope.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, routing::get};
use oauth_storage::{MemoryStorage, TokenRef};
use oauth_storage_axum::{Bearer, OAuthState, RequireScope};

use crate::support::{get as fetch, issue, storage};

async fn client_id(bearer: Bearer) -> String {
    bearer.token.client_id
}

fn router(state: &OAuthState, runs: &Arc<AtomicUsize>) -> Router {
    let runs = Arc::clone(runs);
    let count = move || {
        runs.fetch_add(1, Ordering::SeqCst);
        async { "read" }
    };
    let read = RequireScope::new(state, "read");
    Router::new()
        .route("/read", get(count).route_layer(read.clone()))
        .route("/both", get(client_id).route_layer(RequireScope::new(state, "read write")))
        .route(
            "/nested",
            get(client_id).route_layer(read).route_layer(RequireScope::new(state, "write")),
        )
        .route("/quoted", get(client_id).route_layer(RequireScope::new(state, "a\", error=\"x")))
        .with_state(state.clone())
}

#[tokio::test]
async fn the_handler_runs_only_with_the_scope() {
    let storage = storage().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let router = router(&OAuthState::new(storage.clone()), &runs);
    let bearer = async |scope: &str| {
        format!("Bearer {}", issue(&storage, scope).await.access_token.expose())
    };
    let (read, write) = (bearer("read").await, bearer("write").await);
    let both = bearer("read write").await;
    let missing = fetch(&router, "/read", &[]).await;
    assert_eq!(missing.challenge(), r#"Bearer realm="OAuth", scope="read""#);
    assert_eq!((missing.status, missing.body.as_str()), (401, ""));
    let invalid = fetch(&router, "/read", &["Bearer x"]).await;
    assert_eq!(invalid.error(), (401, "invalid_token".into()));
    let narrow = fetch(&router, "/read", &[&write]).await;
    assert_eq!(narrow.error(), (403, "insufficient_scope".into()));
    let challenge = r#"Bearer realm="OAuth", error="insufficient_scope", scope="read""#;
    assert_eq!(narrow.challenge(), challenge);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(fetch(&router, "/read", &[&read]).await.body, "read");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    for path in ["/both", "/nested"] {
        for (token, status) in [(&read, 403), (&write, 403), (&both, 200)] {
            assert_eq!(fetch(&router, path, &[token]).await.status, status, "{path}");
        }
    }
    let quoted = fetch(&router, "/quoted", &[&both]).await;
    assert_eq!(quoted.challenge(), r#"Bearer realm="OAuth", error="insufficient_scope""#);
}

/// The token of a layer is that of the extractor if both have one state, and only then.
#[tokio::test]
async fn the_token_of_another_state_is_not_taken() {
    let (own, other) = (storage().await, storage().await);
    let tokens = issue(&other, "read").await;
    let header = format!("Bearer {}", tokens.access_token.expose());
    let of = |layer: &OAuthState, state: OAuthState| {
        Router::<OAuthState>::new()
            .route("/", get(client_id).route_layer(RequireScope::new(layer, "read")))
            .with_state(state)
    };
    let (own, other_state) = (OAuthState::new(own), OAuthState::new(other.clone()));
    assert_eq!(fetch(&of(&other_state, own), "/", &[&header]).await.status, 401);
    assert_eq!(fetch(&of(&other_state, other_state.clone()), "/", &[&header]).await.body, "c");
    // A storage as the state: introspected by the layer and by the extractor.
    let layer = RequireScope::new::<MemoryStorage>(&other, "read");
    let router =
        Router::new().route("/", get(client_id).route_layer(layer)).with_state(other.clone());
    assert_eq!(fetch(&router, "/", &[&header]).await.body, "c");
    let token = TokenRef::Access(&tokens.access_token);
    let context = oauth_storage::RequestContext::default();
    oauth_storage::TokenStorage::revoke_token(&other, &context, "c", token).await.unwrap();
    assert_eq!(fetch(&router, "/", &[&header]).await.status, 401);
}
