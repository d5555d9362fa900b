//! Errors and registrations as responses.

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use oauth_storage::error::{Error, InvalidReason};
use oauth_storage::grant::IssuedTokens;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, NewClient, RequestContext, TokenRef, TokenStorage as _,
};
use oauth_storage_axum::{OAuthError, RegistrationResponse, TokenResponse};

use crate::support::{Answer, get as fetch, issue, storage};

async fn respond(response: impl IntoResponse + Clone + Send + Sync + 'static) -> Answer {
    let router = Router::new().route("/", get(move || async move { response }));
    fetch(&router, "/", &[]).await
}

#[tokio::test]
async fn an_error_has_its_status_its_headers_and_its_text() {
    let scope = OAuthError::from(Error::invalid("scope", InvalidReason::NotAllowed));
    let duplicate = OAuthError::from(Error::invalid("code", InvalidReason::Duplicate));
    let slow = OAuthError::new("slow_down", "wait \u{e9}\"\n");
    let slow = slow.with_status(StatusCode::TOO_MANY_REQUESTS).with_retry_after(30);
    let bad = OAuthError::invalid_client().with_challenge("line\nbreak".to_owned());
    for (error, status, code, description, challenge, retry_after) in [
        (scope, 400, "invalid_scope", "scope: ", "", ""),
        (duplicate, 500, "server_error", "internal error", "", ""),
        (slow, 429, "slow_down", "wait '''", "", "30"),
        (OAuthError::invalid_grant(), 400, "invalid_grant", "it is unknown", "", ""),
        (OAuthError::missing("code"), 400, "invalid_request", "the parameter code", "", ""),
        (
            OAuthError::invalid_client(),
            401,
            "invalid_client",
            "unknown",
            "Basic realm=\"OAuth\"",
            "",
        ),
        (bad, 401, "invalid_client", "unknown", "", ""),
    ] {
        let text = error.to_string();
        let answer = respond(error).await;
        assert_eq!(answer.error(), (status, code.to_owned()));
        let body = answer.json();
        let found = body["error_description"].as_str().unwrap();
        assert!(found.starts_with(description), "{found}");
        assert_eq!(text, format!("{code}: {found}"));
        assert_eq!((answer.challenge(), answer.header("retry-after")), (challenge, retry_after));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_token_response_shows_its_secrets_only_in_the_body() {
    let storage = storage().await;
    let tokens = issue(&storage, "a").await;
    let access = TokenRef::Access(&tokens.access_token);
    let token = storage.get_token(&RequestContext::default(), "c", access).await.unwrap().unwrap();
    let issued = IssuedTokens::new(token, tokens.clone());
    let response = TokenResponse::from(issued).with_parameter("x", 1);
    let debug = format!("{response:?}");
    let answer = respond(response).await;
    assert_eq!(answer.json()["access_token"], tokens.access_token.expose());
    assert_eq!((&answer.json()["x"], answer.header("cache-control")), (&1.into(), "no-store"));
    assert!(debug.contains("access_token") && !debug.contains(tokens.access_token.expose()));
}

#[tokio::test]
async fn a_registration_is_created() {
    let storage = storage().await;
    let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/"]));
    let registered = storage.register_client(new).await.unwrap();
    let secret = registered.client_secret.clone().unwrap();
    let response = RegistrationResponse::new(&registered).with_client_uri("https://as.example/c");
    assert!(!format!("{response:?}").contains(secret.expose()));
    let answer = respond(response).await;
    assert_eq!(answer.json()["registration_client_uri"], "https://as.example/c");
    assert_eq!((answer.status, answer.header("cache-control")), (201, "no-store"));
    assert_eq!(answer.json()["client_secret"], secret.expose());
}
