//! The challenges of RFC 6750.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRef;
use axum::http::{Request, header};
use axum::{Router, routing::get, routing::post};
use oauth_storage::endpoint::ProtectedResource;
use oauth_storage::grant::GrantContext;
use oauth_storage::{MemoryStorage, Storage};
use oauth_storage_axum::{Bearer, BearerForm, OAuthError, OAuthState};

use crate::support::{
    FORM, UNAVAILABLE, closed_storage, get as fetch, issue, issue_with, post as send_form, send,
    storage, unreachable_storage,
};

async fn read(bearer: Bearer) -> Result<String, OAuthError> {
    Ok(bearer.require_scope("read")?.subject()?.to_owned())
}

async fn maybe(bearer: Option<Bearer>) -> String {
    bearer.map_or_else(|| "nobody".into(), |bearer| bearer.token.client_id)
}

async fn userinfo(BearerForm(bearer): BearerForm) -> Result<String, OAuthError> {
    Ok(bearer.subject()?.to_owned())
}

fn router<S: Clone + Send + Sync + 'static>(state: S) -> Router
where
    OAuthState: FromRef<S>,
{
    Router::new()
        .route("/read", get(read))
        .route("/maybe", get(maybe))
        .route("/userinfo", post(userinfo))
        .with_state(state)
}

const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

#[tokio::test]
async fn each_refusal_has_its_challenge() {
    let storage = storage().await;
    let router = router(storage.clone());
    let tokens = issue(&storage, "read").await;
    let narrow = issue(&storage, "write").await.access_token;
    let machine = issue_with(&storage, "read", None, GrantContext::default()).await.access_token;
    let bound = GrantContext::default().with_jkt(JKT.to_owned());
    let bound = issue_with(&storage, "read", Some("alice"), bound).await.access_token;
    let bearer = |token: &str| format!("Bearer {token}");
    let own = bearer(tokens.access_token.expose());
    let invalid = r#", error="invalid_token""#;
    for (what, headers, status, challenge) in [
        ("none", vec![], 401, ""),
        ("another scheme", vec!["Basic YTpi".into()], 401, ""),
        ("DPoP", vec![format!("DPoP {}", bound.expose())], 401, ""),
        ("without a token", vec!["Bearer".into()], 401, ""),
        ("unknown", vec![bearer("x")], 401, invalid),
        ("a refresh token", vec![bearer(tokens.refresh_token.unwrap().expose())], 401, invalid),
        ("bound to a key", vec![bearer(bound.expose())], 401, invalid),
        ("without a user", vec![bearer(machine.expose())], 403, r#", error="insufficient_scope""#),
        ("two headers", vec![own.clone(), own.clone()], 400, r#", error="invalid_request""#),
        (
            "another scope",
            vec![bearer(narrow.expose())],
            403,
            r#", error="insufficient_scope", scope="read""#,
        ),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = fetch(&router, "/read", &headers).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.challenge(), format!(r#"Bearer realm="OAuth"{challenge}"#), "{what}");
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        if challenge.is_empty() {
            assert_eq!(answer.body, "", "RFC 6750 3.1: {what}");
        } else {
            let (_, code) = answer.error();
            assert!(challenge.starts_with(&format!(r#", error="{code}""#)), "{what}");
        }
    }
    let answer = fetch(&router, "/read", &[&own]).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.challenge()), (200, "alice", ""));
}

#[tokio::test]
async fn a_token_in_the_query_is_not_accepted_and_a_second_one_refused() {
    let storage = storage().await;
    let router = router(storage.clone());
    let token = issue(&storage, "read").await.access_token;
    let uri = format!("/read?access_token={}", token.expose());
    let answer = fetch(&router, &uri, &[]).await;
    assert_eq!((answer.status, answer.challenge()), (401, r#"Bearer realm="OAuth""#));
    let answer = fetch(&router, &uri, &[&format!("Bearer {}", token.expose())]).await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn an_expired_token_is_invalid() {
    let storage = storage().await;
    let router = router(storage.clone());
    let token = issue(&storage, "read").await.access_token;
    let header = format!("bearer {}", token.expose());
    assert_eq!(fetch(&router, "/read", &[&header]).await.status, 200);
    storage.advance_clock(std::time::Duration::from_hours(2)).await;
    assert_eq!(fetch(&router, "/read", &[&header]).await.error(), (401, "invalid_token".into()));
}

#[tokio::test]
async fn an_optional_token_may_be_missing_but_not_invalid() {
    let storage = storage().await;
    let router = router(storage.clone());
    let token = format!("Bearer {}", issue(&storage, "").await.access_token.expose());
    for (header, status, body) in [(None, 200, "nobody"), (Some(token.as_str()), 200, "c")] {
        let answer = fetch(&router, "/maybe", header.as_slice()).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
    assert_eq!(fetch(&router, "/maybe", &["Bearer x"]).await.status, 401);
}

#[tokio::test]
async fn a_failure_of_the_storage_is_not_the_fault_of_the_client() {
    let answer = fetch(&router(unreachable_storage()), "/read", &["Bearer x"]).await;
    assert_eq!(answer.error(), (UNAVAILABLE.as_u16(), "temporarily_unavailable".into()));
    assert_eq!((answer.header("retry-after"), answer.challenge()), ("1", ""));
    let answer = fetch(&router(closed_storage().await), "/read", &["Bearer x"]).await;
    assert_eq!(answer.error(), (500, "server_error".into()));
    assert_eq!((answer.header("retry-after"), answer.challenge()), ("", ""));
    assert_eq!(answer.json()["error_description"], "internal error");
}

#[tokio::test]
async fn a_protected_resource_names_its_metadata_and_takes_only_its_own_tokens() {
    let storage = storage().await;
    let resource = ProtectedResource::new()
        .with_realm("notes")
        .with_identifier("https://api.example")
        .with_metadata_url("https://api.example/m");
    let state = OAuthState::new(storage.clone()).with_protected_resource(resource);
    let router = router(state);
    let metadata = r#", resource_metadata="https://api.example/m""#;
    let challenge = format!(r#"Bearer realm="notes"{metadata}"#);
    assert_eq!(fetch(&router, "/read", &[]).await.challenge(), challenge);
    for (resources, scope, status, code) in [
        (vec!["https://api.example".to_owned()], "read", 200, ""),
        (vec![], "read", 401, "invalid_token"),
        (vec!["https://other.example".to_owned()], "read", 401, "invalid_token"),
        (vec!["https://api.example".to_owned()], "write", 403, "insufficient_scope"),
    ] {
        let mut context = GrantContext::default();
        context.resource = resources;
        let token = issue_with(&storage, scope, Some("alice"), context).await.access_token;
        let answer = fetch(&router, "/read", &[&format!("Bearer {}", token.expose())]).await;
        assert_eq!(answer.status, status);
        if status != 200 {
            let start = format!(r#"Bearer realm="notes", error="{code}""#);
            assert!(answer.challenge().starts_with(&start), "{}", answer.challenge());
            assert!(answer.challenge().ends_with(metadata), "{}", answer.challenge());
        }
    }
}

#[tokio::test]
async fn a_form_may_have_the_token() {
    let storage = storage().await;
    let router = router(storage.clone());
    let token = issue(&storage, "read").await.access_token;
    let token = token.expose();
    let (header, form) = (format!("Bearer {token}"), format!("access_token={token}"));
    for (what, headers, body, status, code) in [
        ("in the form", vec![], form.clone(), 200, ""),
        ("in the header", vec![header.as_str()], "a=b&access_token=".into(), 200, ""),
        ("in both", vec![header.as_str()], form.clone(), 400, "invalid_request"),
        ("twice", vec![], format!("{form}&{form}"), 400, "invalid_request"),
        ("unknown", vec![], "access_token=x".into(), 401, "invalid_token"),
        ("too large", vec![], format!("{form}&a={}", "x".repeat(70_000)), 413, "invalid_request"),
    ] {
        let answer = send_form(&router, "/userinfo", &headers, &body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status != 200 {
            let challenge = format!(r#"Bearer realm="OAuth", error="{code}""#);
            assert_eq!(answer.challenge(), challenge, "{what}");
        }
    }
    // With the token in the header the body need not be a form.
    let request = Request::post("/userinfo").header(header::AUTHORIZATION, &header);
    let answer = send(&router, request.body(Body::from("{}")).unwrap()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "alice"));
    // A form of another type is not read.
    let request = Request::post("/userinfo").header(header::CONTENT_TYPE, format!("{FORM}x"));
    assert_eq!(send(&router, request.body(Body::from(form)).unwrap()).await.status, 401);
}

/// A state of the application that holds an [`OAuthState`], and the storages as states.
#[tokio::test]
async fn any_storage_is_a_state() {
    #[derive(Clone, FromRef)]
    struct App {
        oauth: OAuthState,
    }
    let storage = storage().await;
    let token = format!("Bearer {}", issue(&storage, "read").await.access_token.expose());
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    let oauth = OAuthState::new(storage.clone());
    for router in [
        router::<MemoryStorage>(storage),
        router::<Arc<dyn Storage>>(shared),
        router::<OAuthState>(oauth.clone()),
        router(App { oauth }),
    ] {
        assert_eq!(fetch(&router, "/read", &[&token]).await.body, "alice");
    }
}
