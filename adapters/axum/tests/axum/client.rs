//! Client authentication, exchanges and revocation.

use std::time::Duration;

use axum::extract::State;
use axum::{Json, Router, routing::post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::client::{GrantType, TokenEndpointAuthMethod};
use oauth_storage::device_authorization::{DeviceApproval, UserCodeLookup, UserCodeOutcome};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _,
    DeviceAuthorizationStorage as _, GrantStorage as _, MemoryStorage, NewAuthorizationCode,
    NewClient, RequestContext, Secret, Settings, User,
};
use oauth_storage_axum::{
    ClientRequest, IntrospectionResponse, OAuthError, TokenResponse, UnverifiedClientRequest,
    revoke,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::{post as send_form, unreachable_storage};

const URI: &str = "https://client.example/cb";

async fn token(
    State(storage): State<MemoryStorage>,
    request: ClientRequest,
) -> Result<TokenResponse, OAuthError> {
    let issued = request.exchange(&storage, &RequestContext::default()).await?;
    Ok(TokenResponse::new(&issued).with_id_token("a.b.c"))
}

async fn introspect(
    State(storage): State<MemoryStorage>,
    request: ClientRequest,
) -> Result<IntrospectionResponse, OAuthError> {
    request.require_secret()?;
    let token = request.form.token.ok_or_else(|| OAuthError::missing("token"))?;
    Ok(IntrospectionResponse(storage.introspect(&token).await?))
}

#[derive(Deserialize)]
struct Device {
    device_code: Secret,
}

async fn device(request: ClientRequest) -> Result<String, OAuthError> {
    let device: Device = request.parse_form()?;
    Ok(format!("{} {:?}", device.device_code.expose(), request))
}

async fn limited(request: UnverifiedClientRequest) -> Result<String, OAuthError> {
    Ok(format!("{} {}", request.authentication.client_id, request.authentication.method))
}

async fn start(
    State(storage): State<MemoryStorage>,
    request: ClientRequest,
) -> Result<Json<Map<String, Value>>, OAuthError> {
    let (settings, uri) = (Settings::default(), "https://issuer.example/device");
    request.start_device(&storage, &settings, uri).await.map(Json)
}

async fn push(request: ClientRequest) -> Result<Json<Map<String, Value>>, OAuthError> {
    request.pushed_parameters().map(Json)
}

fn router(storage: MemoryStorage) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/introspect", post(introspect))
        .route("/device", post(device))
        .route("/limited", post(limited))
        .route("/revoke", post(revoke))
        .route("/start", post(start))
        .route("/push", post(push))
        .with_state(storage)
}

/// Clients of all three methods.
async fn storage() -> (MemoryStorage, Vec<(&'static str, Secret)>) {
    let storage = MemoryStorage::new();
    let mut secrets = Vec::new();
    for (id, method) in [
        ("basic", TokenEndpointAuthMethod::ClientSecretBasic),
        ("post", TokenEndpointAuthMethod::ClientSecretPost),
        ("none", TokenEndpointAuthMethod::None),
    ] {
        let mut metadata = ClientMetadata::authorization_code([URI]);
        metadata.token_endpoint_auth_method = method;
        let new = NewClient::new(metadata).with_client_id(id);
        let registered = storage.register_client(new).await.unwrap();
        secrets.push((id, registered.client_secret.unwrap_or_default()));
    }
    (storage, secrets)
}

/// The header of HTTP Basic.
fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// The headers and the form of a client, each in its own way.
fn request(id: &str, secret: &Secret) -> (Vec<String>, String) {
    match id {
        "basic" => (vec![basic(id, secret.expose())], String::new()),
        "post" => (vec![], format!("client_id={id}&client_secret={}", secret.expose())),
        _ => (vec![], format!("client_id={id}")),
    }
}

async fn code(storage: &MemoryStorage, id: &str) -> String {
    let code = Secret::generate().unwrap();
    let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let mut new = NewAuthorizationCode::new(id, "".parse().unwrap(), URI, code.clone());
    new.code_challenge = Some(CodeChallenge::s256(&verifier));
    let alice = RequestContext::for_user(User::new("alice"));
    storage.create_authorization_code(&alice, new).await.unwrap();
    format!(
        "grant_type=authorization_code&code_verifier={}&code={}",
        verifier.expose(),
        code.expose()
    )
}

#[tokio::test]
async fn each_method_authenticates_and_exchanges() {
    let (storage, clients) = storage().await;
    let router = router(storage.clone());
    for (id, secret) in clients {
        let (headers, form) = request(id, &secret);
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let exchange = format!("{form}&{}", code(&storage, id).await);
        let answer = send_form(&router, "/token", &headers, &exchange).await;
        assert_eq!(answer.status, 200, "{id}: {answer:?}");
        let body = answer.json();
        assert_eq!((&body["token_type"], &body["id_token"]), (&"Bearer".into(), &"a.b.c".into()));
        assert_eq!(
            (answer.header("cache-control"), answer.header("pragma")),
            ("no-store", "no-cache")
        );
        let refresh = body["refresh_token"].as_str().unwrap();
        let refresh = format!("{form}&grant_type=refresh_token&refresh_token={refresh}");
        let answer = send_form(&router, "/token", &headers, &refresh).await;
        assert_eq!(answer.status, 200, "{id}: {answer:?}");
        // A replay revokes the new tokens.
        let replay = send_form(&router, "/token", &headers, &exchange).await;
        assert_eq!(replay.error(), (400, "invalid_grant".into()));
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(storage.introspect(&token.as_str().into()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_failed_authentication_is_the_same_for_an_unknown_client() {
    let (storage, clients) = storage().await;
    let router = router(storage);
    let secret = clients[0].1.expose();
    let post_secret = clients[1].1.expose();
    let unknown = "unknown client, or wrong client authentication";
    let method = |method: &str| format!("this client authenticates with {method}");
    for (what, header, form, description) in [
        ("nothing", None, "a=b".to_owned(), unknown.to_owned()),
        ("a wrong secret", Some(basic("basic", "x")), String::new(), unknown.into()),
        ("an empty secret", Some(basic("basic", "")), String::new(), unknown.into()),
        ("an unknown client", Some(basic("nobody", secret)), String::new(), unknown.into()),
        ("an unknown client, in the form", None, "client_id=nobody".into(), unknown.into()),
        ("a bearer token", Some("Bearer x".into()), "client_id=none".into(), unknown.into()),
        ("no secret", None, "client_id=basic".into(), method("client_secret_basic")),
        (
            "the wrong method",
            Some(basic("post", post_secret)),
            String::new(),
            method("client_secret_post"),
        ),
        ("a secret of a public one", Some(basic("none", "x")), String::new(), method("none")),
    ] {
        for path in ["/token", "/introspect", "/revoke", "/device"] {
            let header = header.as_deref();
            let answer = send_form(&router, path, header.as_slice(), &form).await;
            assert_eq!(answer.error(), (401, "invalid_client".into()), "{path}, {what}");
            assert_eq!(answer.challenge(), r#"Basic realm="OAuth""#, "{path}, {what}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}, {what}");
            assert_eq!(answer.json()["error_description"], description, "{path}, {what}");
        }
    }
    let two = basic("basic", secret);
    for (what, headers, form) in [
        ("a secret in both", vec![two.as_str()], format!("client_secret={secret}")),
        ("two clients", vec![two.as_str()], "client_id=post".into()),
        ("two headers", vec![two.as_str(), two.as_str()], String::new()),
    ] {
        let answer = send_form(&router, "/token", &headers, &form).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{what}");
    }
}

#[tokio::test]
async fn a_disabled_client_does_not_authenticate() {
    let (storage, clients) = storage().await;
    let router = router(storage.clone());
    let header = basic("basic", clients[0].1.expose());
    let answer = send_form(&router, "/introspect", &[&header], "token=x").await;
    assert_eq!(answer.json(), serde_json::json!({ "active": false }));
    storage.set_client_disabled("basic", true).await.unwrap();
    let answer = send_form(&router, "/introspect", &[&header], "token=x").await;
    assert_eq!(answer.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn each_mistake_of_a_token_request_has_its_code() {
    let (storage, clients) = storage().await;
    let router = router(storage.clone());
    let code = code(&storage, "none").await;
    for (form, code) in [
        ("", "invalid_request"),
        ("&grant_type=", "invalid_request"),
        ("&grant_type=x", "unsupported_grant_type"),
        ("&grant_type=client_credentials", "unauthorized_client"),
        ("&grant_type=authorization_code", "invalid_request"),
        ("&grant_type=refresh_token", "invalid_request"),
        ("&grant_type=refresh_token&refresh_token=x", "invalid_grant"),
        ("&grant_type=refresh_token&refresh_token=x&scope=%22", "invalid_scope"),
        ("&grant_type=authorization_code&code=x", "invalid_grant"),
        ("&grant_type=refresh_token&grant_type=refresh_token", "invalid_request"),
        (
            code.replacen("grant", "&grant", 1).replace("verifier=", "verifier=x").as_str(),
            "invalid_grant",
        ),
    ] {
        let answer = send_form(&router, "/token", &[], &format!("client_id=none{form}")).await;
        assert_eq!(answer.error(), (400, code.to_owned()), "{form}");
        assert!(answer.header("cache-control") == "no-store" && answer.challenge().is_empty());
    }
    // The same errors for the other endpoints: a token is required, and a public client may not introspect.
    let (headers, _) = request("basic", &clients[0].1);
    for path in ["/introspect", "/revoke"] {
        let answer = send_form(&router, path, &[&headers[0]], "").await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{path}");
        assert_eq!(answer.json()["error_description"], "the parameter token is missing");
    }
    let answer = send_form(&router, "/introspect", &[], "client_id=none&token=x").await;
    assert_eq!(answer.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn only_the_owner_revokes() {
    let (storage, _) = storage().await;
    let router = router(storage.clone());
    let exchange = format!("client_id=none&{}", code(&storage, "none").await);
    let answer = send_form(&router, "/token", &[], &exchange).await.json();
    let issued = answer["access_token"].as_str().unwrap();
    let other = NewClient::new(ClientMetadata::authorization_code([URI]).public());
    storage.register_client(other.with_client_id("other")).await.unwrap();
    for (client, token, is_active) in
        [("other", issued, true), ("none", "x", true), ("none", issued, false)]
    {
        let form = format!("client_id={client}&token={token}&token_type_hint=refresh_token");
        let answer = send_form(&router, "/revoke", &[], &form).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        let found = storage.introspect(&issued.into()).await.unwrap();
        assert_eq!(found.is_some(), is_active, "{client}, {token}");
    }
}

#[tokio::test]
async fn other_parameters_and_unverified_requests() {
    let (storage, _) = storage().await;
    let router = router(storage);
    let answer = send_form(&router, "/device", &[], "client_id=none&device_code=s3cr3t").await;
    let (code, debug) = answer.body.split_once(' ').unwrap();
    assert_eq!(code, "s3cr3t");
    assert!(!debug.contains("s3cr3t"), "{debug}");
    let answer = send_form(&router, "/device", &[], "client_id=none").await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
    let answer = send_form(&router, "/limited", &[], "client_id=a&client_secret=b").await;
    assert_eq!(answer.body, "a client_secret_post");
}

#[tokio::test]
async fn a_failure_of_the_storage_is_not_the_fault_of_the_client() {
    let router = Router::new().route("/revoke", post(revoke)).with_state(unreachable_storage());
    let answer = send_form(&router, "/revoke", &[], "client_id=none&token=x").await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
    assert_eq!((answer.header("retry-after"), answer.challenge()), ("1", ""));
}

#[tokio::test]
async fn a_device_is_told_what_it_waits_for_and_gets_tokens_once() {
    let storage = MemoryStorage::new();
    let mut metadata = ClientMetadata::authorization_code([URI]).public();
    storage.register_client(NewClient::new(metadata.clone()).with_client_id("web")).await.unwrap();
    metadata.grant_types.push(GrantType::DeviceCode);
    metadata.scope = "notes:read".parse().unwrap();
    storage.register_client(NewClient::new(metadata).with_client_id("tv")).await.unwrap();
    let router = router(storage.clone());
    let ask = async |uri: &str, form: &str| send_form(&router, uri, &[], form).await;

    assert_eq!(ask("/start", "client_id=web").await.error().1, "unauthorized_client");
    assert_eq!(ask("/start", "client_id=tv&scope=notes:write").await.error().1, "invalid_scope");
    let started = ask("/start", "client_id=tv&scope=notes:read").await.json();
    assert_eq!(started["verification_uri"], "https://issuer.example/device");
    let device_code = started["device_code"].as_str().unwrap();
    let poll = format!(
        "client_id=tv&device_code={device_code}&grant_type=\
         urn:ietf:params:oauth:grant-type:device_code"
    );
    assert_eq!(ask("/token", &poll).await.error(), (400, "authorization_pending".into()));
    assert_eq!(ask("/token", &poll).await.error(), (400, "slow_down".into()));
    let others = poll.replace("client_id=tv", "client_id=web");
    assert_eq!(ask("/token", &others).await.error().1, "unauthorized_client");

    let user_code = started["user_code"].as_str().unwrap();
    let lookup = UserCodeLookup::new(user_code);
    let found = storage.find_device_authorization(lookup).await.unwrap();
    let UserCodeOutcome::Found(found) = found else { panic!("{found:?}") };
    let alice = RequestContext::for_user(User::new("alice"));
    let approval = DeviceApproval::new(user_code, &found, found.scope.clone());
    assert!(storage.approve_device_authorization(&alice, approval).await.unwrap());
    storage.advance_clock(Duration::from_secs(60)).await;
    let tokens = ask("/token", &poll).await;
    assert_eq!((tokens.status, &tokens.json()["scope"]), (200, &"notes:read".into()));
    storage.advance_clock(Duration::from_secs(60)).await;
    assert_eq!(ask("/token", &poll).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_pushed_request_keeps_no_credential_and_names_its_client() {
    let (storage, secrets) = storage().await;
    let router = router(storage);
    let (headers, form) = request("post", &secrets[1].1);
    assert!(headers.is_empty());
    let ask = async |other: &str| send_form(&router, "/push", &[], &format!("{form}{other}")).await;
    let pushed = ask("&response_type=code&state=s%26t").await.json();
    let expected = json!({ "client_id": "post", "response_type": "code", "state": "s&t" });
    assert_eq!(pushed, expected);
    for other in ["&request_uri=urn:x", "&state=a&state=b"] {
        assert_eq!(ask(other).await.error(), (400, "invalid_request".into()), "{other}");
    }
    let basic = basic("basic", secrets[0].1.expose());
    let pushed = send_form(&router, "/push", &[&basic], "scope=a").await.json();
    assert_eq!(pushed, json!({ "client_id": "basic", "scope": "a" }));
}
