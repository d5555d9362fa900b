//! Authorization requests.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Router, routing::get};
use oauth_storage::endpoint::AuthorizationResponse;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, MemoryStorage, NewClient,
    RequestContext, Settings, User,
};
use oauth_storage_axum::{AuthorizationRequest, OAuthError, OAuthState};

use crate::support::{Answer, get as fetch, unreachable_storage};

const URI: &str = "https://client.example/cb?tenant=1";
const CHALLENGE: &str = "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn authorize(State(state): State<OAuthState>, request: AuthorizationRequest) -> Response {
    let code = async {
        let new = request.authorization_code(&Settings::default())?;
        let response = AuthorizationResponse::code(&new.code);
        let alice = RequestContext::for_user(User::new("alice"));
        state.storage().create_authorization_code(&alice, new).await?;
        Ok(request.redirect(response))
    };
    code.await.unwrap_or_else(|error: OAuthError| request.redirect_error(&error)).into_response()
}

async fn page(request: Result<AuthorizationRequest, OAuthError>) -> String {
    request.map_or_else(|error| format!("{error}"), |request| request.redirect_uri)
}

fn router(state: OAuthState) -> Router {
    Router::new().route("/authorize", get(authorize)).route("/page", get(page)).with_state(state)
}

async fn storage() -> MemoryStorage {
    let storage = MemoryStorage::new();
    let metadata = ClientMetadata::authorization_code([URI]).public();
    let new = NewClient::new(metadata.with_scope("a b".parse().unwrap())).with_client_id("c");
    storage.register_client(new).await.unwrap();
    storage
}

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location")
}

#[tokio::test]
async fn a_request_becomes_a_code_with_its_values() {
    let storage = storage().await;
    let state = OAuthState::new(storage.clone()).with_issuer("https://issuer.example");
    let query = format!(
        "response_type=code&client_id=c&scope=b&state=x%26y&nonce=n&response_mode=query\
         &code_challenge_method=S256&{CHALLENGE}"
    );
    let answer = fetch(&router(state), &format!("/authorize?{query}"), &[]).await;
    let code = location(&answer).strip_prefix("https://client.example/cb?tenant=1&code=").unwrap();
    let (code, rest) = code.split_once('&').unwrap();
    assert_eq!(rest, "state=x%26y&iss=https%3A%2F%2Fissuer.example");
    let context = RequestContext::default();
    let stored =
        storage.get_authorization_code(&context, "c", &code.into()).await.unwrap().unwrap();
    assert_eq!((stored.scope.as_str(), stored.redirect_uri.as_str()), ("b", URI));
    assert_eq!(
        (stored.subject.as_deref(), stored.context.nonce.as_deref()),
        (Some("alice"), Some("n"))
    );
    assert!(stored.code_challenge.is_some());
}

#[tokio::test]
async fn each_later_error_redirects() {
    let router = router(OAuthState::new(storage().await));
    let s256 = format!("code_challenge_method=S256&{CHALLENGE}");
    for (query, code) in [
        (s256.clone(), "invalid_request"),
        (format!("response_type=x&{s256}"), "unsupported_response_type"),
        (format!("response_type=token&{s256}"), "unauthorized_client"),
        (format!("response_type=code&scope=c&{s256}"), "invalid_scope"),
        (format!("response_type=code&{CHALLENGE}"), "invalid_request"),
        ("response_type=code".to_owned(), "invalid_request"),
        (format!("response_type=code&request=x&{s256}"), "request_not_supported"),
        (format!("response_type=code&request_uri=x&{s256}"), "request_uri_not_supported"),
        (format!("response_type=code&response_mode=fragment&{s256}"), "invalid_request"),
    ] {
        let answer = fetch(&router, &format!("/authorize?client_id=c&state=s&{query}"), &[]).await;
        let location = location(&answer);
        let start = format!("{URI}&error={code}");
        assert!(location.starts_with(&start), "{query}: {location}");
        assert!(location.ends_with("&state=s"), "{query}: {location}");
    }
}

#[tokio::test]
async fn no_error_goes_to_an_address_that_is_not_registered() {
    let router = router(OAuthState::new(storage().await));
    for query in [
        "client_id=nobody&redirect_uri=https://evil.example/",
        "client_id=c&redirect_uri=https://evil.example/",
        "client_id=c&redirect_uri=https://client.example/cb",
        "client_id=c&client_id=c",
        "redirect_uri=https://client.example/cb",
        "",
    ] {
        let answer = fetch(&router, &format!("/authorize?{query}"), &[]).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{query}");
        assert_eq!(answer.header("location"), "", "{query}");
        let page = fetch(&router, &format!("/page?{query}"), &[]).await;
        assert!(page.body.starts_with("invalid_request: "), "{query}: {}", page.body);
    }
    let own = format!("/page?client_id=c&redirect_uri={}", URI.replace('?', "%3F"));
    assert_eq!(fetch(&router, &own, &[]).await.body, URI);
}

#[tokio::test]
async fn a_failure_of_the_storage_is_not_the_fault_of_the_client() {
    let router = router(OAuthState::new(unreachable_storage()));
    let answer = fetch(&router, "/authorize?client_id=c", &[]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
}
