//! Registration and its management, introspection, and the limits.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth_storage::{ClientMetadata, ClientRegistry as _, MemoryStorage, NewClient};
use oauth_storage_axum::{
    AttemptLimit, ClientRequest, OAuthError, OAuthState, Registration, ResourceServer, introspect,
};
use serde_json::{Value, json};

use crate::support::{Answer, issue, send, storage};

fn router(state: OAuthState, attempts: u32) -> Router {
    let registration = Registration::new(|metadata| match &metadata.details.client_name {
        Some(name) if name == "evil" => Err(OAuthError::new("invalid_client_metadata", "evil")),
        _ => Ok(metadata),
    });
    let limit = AttemptLimit::per_minute(NonZeroU32::new(attempts).unwrap());
    Router::new()
        .merge(registration.with_limit(limit).router())
        .route("/introspect", post(introspect))
        .with_state(state)
}

async fn ask(router: &Router, method: Method, uri: &str, token: &str, body: &Value) -> Answer {
    let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .extension(ConnectInfo(address))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    send(router, request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_client_registers_reads_changes_and_deletes_itself() {
    let state = OAuthState::new(MemoryStorage::new()).with_issuer("https://issuer.example");
    let router = router(state, 100);
    let metadata = json!({ "redirect_uris": ["https://client.example/cb"] });
    let registered = ask(&router, Method::POST, "/register", "", &metadata).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert_eq!(registered.header("cache-control"), "no-store");
    let body = registered.json();
    let (id, token) = (body["client_id"].as_str().unwrap(), &body["registration_access_token"]);
    let (uri, token) = (format!("/register/{id}"), token.as_str().unwrap());
    assert_eq!(body["registration_client_uri"], format!("https://issuer.example{uri}"));

    let none = json!({});
    let read = ask(&router, Method::GET, &uri, token, &none).await;
    assert_eq!((read.status, &read.json()["client_id"]), (200, &body["client_id"]));
    for (uri, token) in [(&*uri, "wrong"), (&*uri, ""), ("/register/nobody", token)] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let refused = ask(&router, method, uri, token, &metadata).await;
            assert_eq!(refused.error(), (401, "invalid_token".into()));
            assert!(refused.challenge().contains("invalid_token"));
        }
    }
    let named = json!({ "redirect_uris": ["https://client.example/cb"], "client_name": "Notes" });
    let changed = ask(&router, Method::PUT, &uri, token, &named).await;
    assert_eq!((changed.status, &changed.json()["client_name"]), (200, &"Notes".into()));
    for (member, value) in [("client_name", "evil"), ("client_secret", "wrong")] {
        let mut evil = named.clone();
        evil[member] = value.into();
        let refused = ask(&router, Method::PUT, &uri, token, &evil).await;
        assert_eq!(refused.error(), (400, "invalid_client_metadata".into()), "{member}");
    }
    let invalid = json!({ "redirect_uris": ["x"] });
    let refused = ask(&router, Method::POST, "/register", "", &invalid).await;
    assert_eq!(refused.error(), (400, "invalid_redirect_uri".into()));
    let refused = ask(&router, Method::POST, "/register", "", &json!([])).await;
    assert_eq!(refused.error(), (400, "invalid_client_metadata".into()));
    let large = json!({ "client_name": "x".repeat(70_000) });
    assert_eq!(ask(&router, Method::POST, "/register", "", &large).await.status, 400);
    assert_eq!(ask(&router, Method::DELETE, &uri, token, &none).await.status, 204);
    assert_eq!(ask(&router, Method::GET, &uri, token, &none).await.status, 401);
}

#[tokio::test]
async fn registrations_are_limited() {
    let router = router(OAuthState::new(MemoryStorage::new()), 2);
    let metadata = json!({ "redirect_uris": ["https://client.example/cb"] });
    for status in [201, 201, 429] {
        let answer = ask(&router, Method::POST, "/register", "", &metadata).await;
        assert_eq!(answer.status, status);
        if status == 201 {
            // Without an issuer there is no endpoint to change it.
            assert!(answer.json().get("registration_access_token").is_none());
        } else {
            assert!(!answer.header("retry-after").is_empty());
        }
    }
}

#[tokio::test]
async fn introspection_is_for_the_client_and_for_resource_servers() {
    let storage = storage().await;
    let mut secrets = Vec::new();
    for id in ["own", "api"] {
        let new = NewClient::new(ClientMetadata::client_credentials()).with_client_id(id);
        let registered = storage.register_client(new).await.unwrap();
        secrets.push(registered.client_secret.unwrap());
    }
    let tokens = issue(&storage, "notes:read openid").await;
    let api = ResourceServer::new("api", "notes:read notes:write".parse().unwrap());
    let state = OAuthState::new(storage).with_resource_servers([api]);
    let router = router(state, 1);
    let ask = async |id: &str, secret: &str, token: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        crate::support::post(&router, "/introspect", &[&basic], &format!("token={token}")).await
    };
    let access = tokens.access_token.expose();
    let refresh = tokens.refresh_token.as_ref().unwrap().expose();
    assert_eq!(ask("api", secrets[1].expose(), access).await.json()["active"], true);
    assert_eq!(ask("api", secrets[1].expose(), refresh).await.json()["active"], false);
    assert_eq!(ask("own", secrets[0].expose(), access).await.json()["active"], false);
    assert_eq!(ask("api", "wrong", access).await.status, 401);
    let missing = ask("api", secrets[1].expose(), "").await;
    assert_eq!(missing.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn each_secret_that_costs_a_password_hash_is_counted() {
    let limit = AttemptLimit::per_minute(NonZeroU32::MIN);
    let state = OAuthState::new(storage().await).with_client_secret_limit(limit);
    let router = Router::new()
        .route("/token", post(async |request: ClientRequest| request.client.client_id))
        .with_state(state);
    let ask = async |host: u8, secret: &str| {
        let address = SocketAddr::from(([192, 0, 2, host], 1));
        let request = Request::post("/token")
            .extension(ConnectInfo(address))
            .header("content-type", "application/x-www-form-urlencoded");
        let form = format!("client_id=c&client_secret={secret}");
        send(&router, request.body(Body::from(form)).unwrap()).await.status
    };
    for (host, secret) in [(1, "guess"), (2, "ocs_x"), (3, "ocs_")] {
        assert_eq!(ask(host, secret).await, 401, "{secret}");
        assert_eq!(ask(host, secret).await, 429, "{secret}");
    }
    // The form of a generated one, which costs a digest.
    let generated = format!("ocs_{}", "x".repeat(43));
    for _ in 0..3 {
        assert_eq!(ask(4, &generated).await, 401);
    }
}

#[tokio::test]
async fn a_secret_of_a_changed_registration_is_counted() {
    let router = router(OAuthState::new(MemoryStorage::new()).with_issuer("https://i.example"), 2);
    let metadata = json!({ "redirect_uris": ["https://client.example/cb"] });
    let body = ask(&router, Method::POST, "/register", "", &metadata).await.json();
    let uri = format!("/register/{}", body["client_id"].as_str().unwrap());
    let token = body["registration_access_token"].as_str().unwrap();
    let put = async |secret: Value| {
        let mut metadata = metadata.clone();
        metadata["client_secret"] = secret;
        ask(&router, Method::PUT, &uri, token, &metadata).await.status
    };
    let generated = format!("ocs_{}", "x".repeat(43));
    assert_eq!([put(json!("guess")).await, put(json!("guess")).await], [400, 429]);
    assert_eq!(put(json!(generated)).await, 400, "it costs a digest");
    assert_eq!([put(body["client_secret"].clone()).await, put(Value::Null).await], [200, 200]);
}
