//! DPoP and client assertions, with hostile ones.

use std::time::{Duration, SystemTime};

use axum::extract::{FromRef, State};
use axum::http::Request;
use axum::routing::{get, post};
use axum::{Router, body::Body};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::grant::GrantContext;
use oauth_storage::jwt::SigningKey;
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, MemoryStorage,
    NewAuthorizationCode, NewClient, ReplayStorage as _, RequestContext, Secret, User,
};
use oauth_storage_axum::{
    Bearer, ClientRequest, Dpop, OAuthError, OAuthState, RequireScope, TokenResponse,
};
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

use crate::support::{Answer, issue, issue_with, post as send_form, send, storage};

const ISSUER: &str = "https://issuer.example";

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A key of a client.
struct Key(SigningKey);

impl Key {
    fn new() -> Self {
        Self(SigningKey::generate().unwrap())
    }

    fn jwk(&self) -> Value {
        serde_json::to_value(self.0.public_key()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let pem = self.0.to_pkcs8_pem().unwrap();
        let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem.expose()).unwrap();
        let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn proof(&self, header: Value, claims: Value) -> String {
        let own = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let jti = Secret::generate().unwrap();
        let request = json!({
            "htm": "GET", "htu": format!("{ISSUER}/notes"), "iat": now(), "jti": jti.expose(),
        });
        self.sign(&merged(own, header), &merged(request, claims))
    }

    /// The thumbprint, as the extractor tells it.
    async fn thumbprint(&self, router: &Router) -> String {
        let proof = self.proof(json!({}), json!({ "htu": format!("{ISSUER}/key") }));
        let answer = request(router, "/key", None, &[&proof]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }
}

fn merged(mut value: Value, other: Value) -> Value {
    for (name, other) in other.as_object().unwrap() {
        value[name] = other.clone();
    }
    value
}

async fn key(Dpop(jkt): Dpop) -> String {
    jkt.unwrap_or_default()
}

async fn notes(bearer: Bearer) -> Result<String, OAuthError> {
    Ok(bearer.require_scope("notes:read")?.subject()?.to_owned())
}

async fn client(request: ClientRequest) -> String {
    request.client.client_id
}

#[derive(Clone, FromRef)]
struct App {
    oauth: OAuthState,
}

#[derive(Clone, FromRef)]
struct Endpoint {
    oauth: OAuthState,
    storage: MemoryStorage,
}

fn router(storage: MemoryStorage) -> Router {
    let oauth = OAuthState::new(storage).with_issuer(ISSUER);
    let layer = RequireScope::new(&oauth, "notes:read");
    Router::new()
        .route("/key", get(key))
        .route("/notes", get(notes))
        .route("/layer", get(async || "").route_layer(layer))
        .route("/token", post(client))
        .with_state(App { oauth })
}

async fn request(router: &Router, uri: &str, token: Option<String>, proofs: &[&str]) -> Answer {
    let request = Request::get(uri);
    let request = token.iter().fold(request, |own, token| own.header("authorization", token));
    let request = proofs.iter().fold(request, |own, proof| own.header("dpop", *proof));
    send(router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_bound_token_needs_a_proof_of_its_key_for_this_request() {
    let storage = storage().await;
    let router = router(storage.clone());
    let (own, thief) = (Key::new(), Key::new());
    let jkt = own.thumbprint(&router).await;
    let context = GrantContext::default().with_jkt(jkt);
    let token = issue_with(&storage, "notes:read", Some("alice"), context).await.access_token;
    let ath = URL_SAFE_NO_PAD.encode(token.digest().as_bytes());
    let dpop = || Some(format!("DPoP {}", token.expose()));
    let ask = async |proofs: &[&str]| request(&router, "/notes", dpop(), proofs).await;
    let proof = |header, claims| own.proof(header, merged(json!({ "ath": ath }), claims));

    let right = proof(json!({}), json!({}));
    assert_eq!(ask(&[&right]).await.body, "alice");
    assert_eq!(ask(&[&right]).await.error(), (401, "invalid_dpop_proof".into()), "used before");
    let with_query = proof(json!({}), json!({ "htu": format!("{ISSUER}/notes?a=b#c") }));
    assert_eq!(request(&router, "/notes?x=y", dpop(), &[&with_query]).await.body, "alice");
    let layer = proof(json!({}), json!({ "htu": format!("{ISSUER}/layer") }));
    assert_eq!(request(&router, "/layer", dpop(), &[&layer]).await.status, 200);

    let none = proof(json!({ "alg": "none" }), json!({}));
    let (unsigned, _) = none.rsplit_once('.').unwrap();
    let private = merged(own.jwk(), json!({ "d": "AAAA" }));
    for (what, proof) in [
        ("no signature", format!("{unsigned}.")),
        ("alg none", none.clone()),
        ("another algorithm", proof(json!({ "alg": "HS256" }), json!({}))),
        ("another type", proof(json!({ "typ": "JWT" }), json!({}))),
        ("an extension", proof(json!({ "crit": ["exp"] }), json!({}))),
        ("a private key", proof(json!({ "jwk": private }), json!({}))),
        (
            "the key of somebody else",
            thief.proof(json!({ "jwk": own.jwk() }), json!({ "ath": ath })),
        ),
        ("another method", proof(json!({}), json!({ "htm": "POST" }))),
        ("another path", proof(json!({}), json!({ "htu": format!("{ISSUER}/key") }))),
        ("another host", proof(json!({}), json!({ "htu": "https://evil.example/notes" }))),
        ("old", proof(json!({}), json!({ "iat": now() - 120 }))),
        ("of the future", proof(json!({}), json!({ "iat": now() + 120 }))),
        ("a time that overflows", proof(json!({}), json!({ "iat": i64::MIN }))),
        ("another token", proof(json!({}), json!({ "ath": "AAAA" }))),
        ("no ath", own.proof(json!({}), json!({}))),
        ("no text", "é".to_owned()),
        ("nothing", String::new()),
    ] {
        let answer = ask(&[&proof]).await;
        assert_eq!(answer.error(), (401, "invalid_dpop_proof".into()), "{what}");
        assert!(answer.challenge().starts_with("DPoP error="), "{what}: {answer:?}");
    }
    let two = [proof(json!({}), json!({})), proof(json!({}), json!({}))];
    assert_eq!(ask(&[&two[0], &two[1]]).await.error().1, "invalid_dpop_proof");

    // The thief has the token, and a key.
    let theirs = thief.proof(json!({}), json!({ "ath": ath, "jti": "theirs" }));
    assert_eq!(ask(&[&theirs]).await.error(), (401, "invalid_token".into()));
    // They did not make the storage write.
    let namespace = format!("{ISSUER}/notes {}", thief.0.public_key().kid());
    let claim = Claim::new(namespace, "theirs", Duration::from_secs(1));
    assert_eq!(storage.claim(claim).await.unwrap(), ClaimOutcome::First);
    assert_eq!(ask(&[]).await.error(), (401, "invalid_token".into()));
    let bearer = request(&router, "/notes", Some(format!("Bearer {}", token.expose())), &[]).await;
    assert_eq!(bearer.error(), (401, "invalid_token".into()));
    // To this machine the first proof is still fresh. The clock of another one differs.
    storage.advance_clock(Duration::from_mins(5)).await;
    assert_eq!(ask(&[&right]).await.error(), (401, "invalid_dpop_proof".into()));
    // A token without a key is none with DPoP.
    let free = issue(&storage, "notes:read").await.access_token;
    let ath = URL_SAFE_NO_PAD.encode(free.digest().as_bytes());
    let proof = own.proof(json!({}), json!({ "ath": ath }));
    let free = Some(format!("DPoP {}", free.expose()));
    assert_eq!(
        request(&router, "/notes", free, &[&proof]).await.error(),
        (401, "invalid_token".into())
    );
}

/// A token endpoint that binds to the key of a proof.
async fn exchange(
    State(storage): State<MemoryStorage>,
    proof: Dpop,
    request: ClientRequest,
) -> Result<TokenResponse, OAuthError> {
    request.check_proof(&storage, &proof).await?;
    Ok(request.exchange(&storage, &RequestContext::default()).await?.into())
}

#[tokio::test]
async fn a_bound_code_or_refresh_token_needs_a_proof_of_its_key() {
    let storage = MemoryStorage::new();
    let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]).public();
    storage.register_client(NewClient::new(metadata).with_client_id("c")).await.unwrap();
    let keys = self::router(storage.clone());
    let exchange = Router::new().route("/token", post(exchange)).with_state(Endpoint {
        oauth: OAuthState::new(storage.clone()).with_issuer(ISSUER),
        storage: storage.clone(),
    });
    let (own, thief) = (Key::new(), Key::new());
    let context = GrantContext::default().with_jkt(own.thumbprint(&keys).await);
    let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let ask = async |form: String, key: Option<&Key>| {
        let request = Request::post("/token").header("content-type", crate::support::FORM);
        let claims = json!({ "htm": "POST", "htu": format!("{ISSUER}/token") });
        let request = key.into_iter().fold(request, |request, key| {
            request.header("dpop", key.proof(json!({}), claims.clone()))
        });
        send(&exchange, request.body(Body::from(form)).unwrap()).await
    };
    let refused = (400, "invalid_dpop_proof".to_owned());

    let code = Secret::generate().unwrap();
    let scope = "notes:read".parse().unwrap();
    let uri = "https://client.example/cb";
    let new = NewAuthorizationCode::new("c", scope, uri, code.clone()).with_context(context);
    let new = new.with_code_challenge(CodeChallenge::s256(&verifier));
    let alice = RequestContext::for_user(User::new("alice"));
    storage.create_authorization_code(&alice, new).await.unwrap();
    let redeem = |code: &str, other: &str| {
        let verifier = verifier.expose();
        format!(
            "client_id=c&grant_type=authorization_code&code={code}&code_verifier={verifier}{other}"
        )
    };
    for other in ["", "&refresh_token=x", "&device_code=x"] {
        assert_eq!(ask(redeem(code.expose(), other), None).await.error(), refused, "{other}");
        assert_eq!(ask(redeem(code.expose(), other), Some(&thief)).await.error(), refused);
    }
    let first = ask(redeem(code.expose(), ""), Some(&own)).await.json();
    assert_eq!(first["token_type"], "DPoP");

    let refresh = |token: &Value, other: &str| {
        let token = token.as_str().unwrap();
        format!("client_id=c&grant_type=refresh_token&refresh_token={token}{other}")
    };
    let second = ask(refresh(&first["refresh_token"], ""), Some(&own)).await.json();
    // The first was rotated, and is in its grace period.
    for token in [&first["refresh_token"], &second["refresh_token"]] {
        // The credential of another grant type must not stand in for the refresh token.
        for other in ["", "&code=x", "&device_code=x"] {
            assert_eq!(ask(refresh(token, other), None).await.error(), refused, "{other}");
            assert_eq!(ask(refresh(token, other), Some(&thief)).await.error(), refused);
        }
    }
    assert_eq!(ask(refresh(&second["refresh_token"], "&code=x"), Some(&own)).await.status, 200);
}

#[tokio::test]
async fn an_assertion_is_of_its_client_for_this_server_and_used_once() {
    let storage = MemoryStorage::new();
    let (own, thief) = (Key::new(), Key::new());
    let metadata = json!({
        "token_endpoint_auth_method": "private_key_jwt", "grant_types": ["client_credentials"],
        "redirect_uris": [], "response_types": [], "jwks": { "keys": [own.jwk()] },
    });
    let metadata = ClientMetadata::from_json(metadata).unwrap();
    storage.register_client(NewClient::new(metadata).with_client_id("robot")).await.unwrap();
    crate::support::register(&storage, "other").await;
    let clock = storage.clone();
    let router = router(storage);
    let claims = |other| {
        let jti = Secret::generate().unwrap();
        let claims = json!({
            "iss": "robot", "sub": "robot", "aud": ISSUER, "exp": now() + 60, "jti": jti.expose(),
        });
        merged(claims, other)
    };
    let sign = |key: &Key, other| key.sign(&json!({ "alg": "ES256" }), &claims(other));
    let ask = async |client_id: &str, assertion: &str| {
        let form = format!(
            "client_id={client_id}&client_assertion={assertion}&client_assertion_type=\
             urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        send_form(&router, "/token", &[], &form).await
    };
    let right = sign(&own, json!({}));
    assert_eq!(ask("robot", &right).await.body, "robot");
    assert_eq!(ask("robot", &right).await.error(), (401, "invalid_client".into()), "used before");
    // The clock of the storage is ahead of that of this machine.
    clock.advance_clock(Duration::from_mins(5)).await;
    assert_eq!(ask("robot", &right).await.error(), (401, "invalid_client".into()), "used before");
    let list = sign(&own, json!({ "aud": ["https://x.example", format!("{ISSUER}/token")] }));
    assert_eq!(ask("robot", &list).await.body, "robot");
    let no_jti = own.sign(&json!({ "alg": "ES256" }), &{
        let mut claims = claims(json!({}));
        claims.as_object_mut().unwrap().remove("jti");
        claims
    });
    for (what, client_id, assertion) in [
        ("another key", "robot", sign(&thief, json!({}))),
        ("another client", "other", sign(&own, json!({}))),
        ("no client", "nobody", sign(&own, json!({}))),
        ("another issuer", "robot", sign(&own, json!({ "iss": "other" }))),
        ("another subject", "robot", sign(&own, json!({ "sub": "other" }))),
        ("another server", "robot", sign(&own, json!({ "aud": "https://evil.example" }))),
        ("no audience", "robot", sign(&own, json!({ "aud": null }))),
        ("expired", "robot", sign(&own, json!({ "exp": now() - 1 }))),
        ("for too long", "robot", sign(&own, json!({ "exp": now() + 7_200 }))),
        ("an end that overflows", "robot", sign(&own, json!({ "exp": i64::MAX }))),
        ("no identifier", "robot", no_jti),
        ("alg none", "robot", own.sign(&json!({ "alg": "none" }), &claims(json!({})))),
        ("no JWT", "robot", "a.b.c".to_owned()),
    ] {
        let answer = ask(client_id, &assertion).await;
        assert_eq!(answer.error(), (401, "invalid_client".into()), "{what}");
    }
    let two = format!("client_id=robot&client_secret=x&client_assertion={right}");
    assert_eq!(send_form(&router, "/token", &[], &two).await.error().1, "invalid_client");
}

#[tokio::test]
async fn without_an_issuer_no_proof_is_checked() {
    let router: Router = Router::new()
        .route("/key", get(key))
        .with_state(App { oauth: OAuthState::new(storage().await) });
    let proof = Key::new().proof(json!({}), json!({}));
    assert_eq!(request(&router, "/key", None, &[&proof]).await.status, 500);
    assert_eq!(request(&router, "/key", None, &[]).await.body, "");
}
