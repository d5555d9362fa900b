//! Logout requests, and the tokens that tell the clients of a logout.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::user_session::{EndedSession, SignOut};
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, MemoryStorage, NewClient, RequestContext, Scope, User,
};
use oauth_storage_axum::{BackchannelLogout, LogoutRequest};
use serde_json::{Map, Value, json};
use sqlx::types::Uuid;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);
const GOODBYE: &str = "https://client.example/goodbye?a=b";

fn signer() -> IdTokenSigner {
    IdTokenSigner::new("https://issuer.example", SigningKey::generate().unwrap()).unwrap()
}

async fn register(storage: &MemoryStorage, id: &str, name: &str, value: Value) {
    let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
    metadata.details.other.insert(name.into(), value);
    storage.register_client(NewClient::new(metadata).with_client_id(id)).await.unwrap();
}

fn id_token(signer: &IdTokenSigner, client_id: &str) -> String {
    let (request, scope) = (RequestContext::for_user(User::new("alice")), Scope::default());
    let id_token = NewIdToken::new(client_id, &scope).at_token_endpoint();
    signer.sign(&request, &id_token, Map::new()).unwrap()
}

#[tokio::test]
async fn a_logout_leads_only_where_the_client_of_the_hint_has_registered() {
    let signer = signer();
    let (own, others) = (id_token(&signer, "c"), id_token(&signer, "other"));
    let gone = id_token(&signer, "gone");
    let forged = id_token(&self::signer(), "c");
    let storage = MemoryStorage::new().with_id_tokens(signer);
    register(&storage, "c", "post_logout_redirect_uris", json!([GOODBYE])).await;
    register(&storage, "other", "note", json!("none")).await;

    let read = async |parameters: &[(&str, &str)]| {
        let query = serde_urlencoded::to_string(parameters).unwrap();
        let request = LogoutRequest::read(&storage, &query).await;
        request.map(|own| (own.client.map(|client| client.client_id), own.redirect_uri))
    };
    let (hint, to) = (("id_token_hint", &*own), ("post_logout_redirect_uri", GOODBYE));
    let c = Some("c".to_owned());
    assert_eq!(read(&[]).await.unwrap(), (None, None));
    assert_eq!(read(&[hint]).await.unwrap(), (c.clone(), None));
    assert_eq!(read(&[hint, to]).await.unwrap(), (c.clone(), Some(GOODBYE.into())));
    let state = ("state", "s t&u");
    let with_state = Some(format!("{GOODBYE}&state=s+t%26u"));
    assert_eq!(read(&[hint, ("client_id", "c"), to, state]).await.unwrap(), (c, with_state));
    assert_eq!(read(&[("id_token_hint", &gone)]).await.unwrap(), (None, None));

    for parameters in [
        &[to][..],
        &[("client_id", "c"), to],
        &[hint, ("client_id", "other"), to],
        &[hint, ("post_logout_redirect_uri", "https://client.example/goodbye")],
        &[hint, ("post_logout_redirect_uri", "https://client.example/cb")],
        &[("id_token_hint", &others), to],
        &[("id_token_hint", &gone), to],
        &[("id_token_hint", &forged)],
        &[("id_token_hint", "e30.e30.x")],
        &[hint, hint],
    ] {
        let error = read(parameters).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST, "{parameters:?}");
    }
}

/// A client's endpoint, which also has addresses that redirect to it, fail, and do not respond.
async fn listen() -> (String, UnboundedReceiver<String>) {
    let (sender, tokens) = unbounded_channel();
    let receive = async move |body: String| {
        let form: Vec<(String, String)> = serde_urlencoded::from_str(&body).unwrap();
        let [(name, token)] = &form[..] else { panic!("{form:?}") };
        assert_eq!(name, "logout_token");
        sender.send(token.clone()).unwrap();
    };
    let router = Router::new()
        .route("/logout", post(receive))
        .route("/redirect", post(async || Redirect::temporary("/logout")))
        .route("/hang", post(std::future::pending::<()>))
        .route("/fail", post(async || StatusCode::INTERNAL_SERVER_ERROR));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, tokens)
}

fn ended(sid: Uuid, client_ids: &[&str]) -> SignOut {
    let client_ids = client_ids.iter().map(ToString::to_string);
    let mut signed_out = SignOut::default();
    signed_out.sessions.push(EndedSession::new(sid, "alice", client_ids));
    signed_out
}

#[tokio::test]
async fn each_client_of_an_ended_session_is_told_and_no_redirect_is_followed() {
    let storage = MemoryStorage::new();
    let (url, mut tokens) = listen().await;
    let uri = |path| json!(format!("{url}/{path}"));
    for (id, path) in [("fails", "fail"), ("listens", "logout"), ("redirects", "redirect")] {
        register(&storage, id, "backchannel_logout_uri", uri(path)).await;
    }
    register(&storage, "silent", "note", json!("none")).await;
    register(&storage, "uninvolved", "backchannel_logout_uri", uri("logout")).await;
    let logout = BackchannelLogout::new(Arc::new(storage), Arc::new(signer())).unwrap();
    let sid = Uuid::from_u128(7);
    let clients = ["fails", "gone", "listens", "redirects", "silent"];
    let quiet = Duration::from_millis(500);

    // A stranger may have registered an address of this machine.
    logout.notify(ended(sid, &clients));
    assert!(timeout(quiet, tokens.recv()).await.is_err());

    logout.with_loopback(true).notify(ended(sid, &clients));
    let token = timeout(LONG, tokens.recv()).await.unwrap().unwrap();
    let part = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let parts: Vec<_> = token.split('.').take(2).map(part).collect();
    assert_eq!(parts[0]["typ"], "logout+jwt");
    let claims = &parts[1];
    assert_eq!(claims["aud"], "listens");
    assert_eq!((&claims["sub"], &claims["sid"]), (&json!("alice"), &json!(sid)));
    assert!(timeout(quiet, tokens.recv()).await.is_err(), "one token");
}

#[tokio::test]
async fn a_client_that_does_not_respond_delays_no_other() {
    let storage = MemoryStorage::new();
    let (url, mut tokens) = listen().await;
    for (id, path) in [("a", "hang"), ("b", "hang"), ("c", "hang"), ("d", "logout")] {
        register(&storage, id, "backchannel_logout_uri", json!(format!("{url}/{path}"))).await;
    }
    let logout = BackchannelLogout::new(Arc::new(storage), Arc::new(signer())).unwrap();
    logout.with_loopback(true).notify(ended(Uuid::from_u128(7), &["a", "b", "c", "d"]));
    // Each client has five seconds, so one after the other would take 15.
    timeout(LONG, tokens.recv()).await.unwrap().unwrap();
}
