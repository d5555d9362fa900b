//! Pushed requests, DPoP and `private_key_jwt`. No client library for Rust speaks them, so these clients are
//! hand-written; the crate `jsonwebtoken` signs for them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth_storage::Secret;
use oauth_storage::jwt::SigningKey;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ALICE, Browser, CALLBACK, SIGN_IN, Site, answer, parameters};

/// The claims of a JWT, whose signature other tests verify.
pub(crate) fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn now() -> i64 {
    chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp()
}

fn unique() -> String {
    Secret::generate().unwrap().expose().to_owned()
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

    fn sign(&self, header: &Header, claims: &Value) -> String {
        let pem = self.0.to_pkcs8_pem().unwrap();
        let der: String = pem.expose().lines().filter(|line| !line.starts_with('-')).collect();
        let key = EncodingKey::from_ec_der(&STANDARD.decode(der).unwrap());
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    /// A proof, changed by the members of `other`.
    fn proof(&self, method: &str, url: &str, other: Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".into());
        header.jwk = Some(serde_json::from_value(self.jwk()).unwrap());
        let mut claims = json!({ "htm": method, "htu": url, "iat": now(), "jti": unique() });
        claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        self.sign(&header, &claims)
    }

    /// A client assertion, changed by the members of `other`.
    fn assertion(&self, client_id: &str, audience: &str, other: Value) -> String {
        let mut claims = json!({
            "iss": client_id, "sub": client_id, "aud": audience, "exp": now() + 60, "jti": unique(),
        });
        claims.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        self.sign(&Header::new(Algorithm::ES256), &claims)
    }
}

async fn register(site: &Site, key: &Key) -> String {
    let client = site
        .register(json!({
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "jwks": { "keys": [key.jwk()] },
            "require_pushed_authorization_requests": true,
        }))
        .await;
    assert!(client.get("client_secret").is_none());
    client["client_id"].as_str().unwrap().to_owned()
}

async fn post(
    site: &Site,
    path: &str,
    form: &[(&str, &str)],
    assertion: &str,
    proof: Option<String>,
) -> (u16, Value) {
    let mut form = form.to_vec();
    form.push(("client_assertion", assertion));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    form.push(("client_assertion_type", kind));
    let request = site.http.post(site.url(path)).form(&form);
    let proof = proof.into_iter();
    let (status, _, body) =
        answer(proof.fold(request, |own, proof| own.header("dpop", proof))).await;
    (status.as_u16(), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_request_with_an_assertion_and_bound_tokens() {
    let site = Site::start().await;
    let (key, dpop, thief) = (Key::new(), Key::new(), Key::new());
    let id = register(&site, &key).await;
    let assertion = || key.assertion(&id, &site.issuer, json!({}));
    let pushed = [
        ("client_id", id.as_str()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "s"),
    ];
    let proof = |key: &Key, path: &str| Some(key.proof("POST", &site.url(path), json!({})));
    let (status, body) = post(&site, "par", &pushed, &assertion(), proof(&dpop, "par")).await;
    assert_eq!((status, &body["expires_in"]), (201, &json!(60)), "{body}");
    let uri = body["request_uri"].as_str().unwrap();
    let url = site.authorize(&[("client_id", &id), ("request_uri", uri)]);

    // The pages can be loaded again until the request is answered.
    let browser = Browser::new();
    browser.open(&url).await.page();
    let page = browser.open(&url).await.page();
    let page = browser.submit(&page, &SIGN_IN).await.page();
    assert!(!page.body.contains("state"), "the browser does not see the parameters: {}", page.body);
    let answered = parameters(&browser.submit(&page, &[("decision", "allow")]).await.left());
    assert_eq!(answered["state"], "s");
    assert_eq!(browser.open(&url).await.page().status, 400, "it is answered once");

    // The code is bound to the key of the pushed request.
    let form = [
        ("client_id", id.as_str()),
        ("grant_type", "authorization_code"),
        ("code", &answered["code"]),
        ("redirect_uri", CALLBACK),
    ];
    for proof in [None, proof(&thief, "token")] {
        let (status, body) = post(&site, "token", &form, &assertion(), proof).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_dpop_proof")));
    }
    let (status, tokens) = post(&site, "token", &form, &assertion(), proof(&dpop, "token")).await;
    assert_eq!((status, &tokens["token_type"]), (200, &json!("DPoP")), "{tokens}");

    // And so are the tokens.
    let form = [
        ("client_id", id.as_str()),
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    let (_, body) = post(&site, "token", &form, &assertion(), proof(&thief, "token")).await;
    assert_eq!(body["error"], "invalid_dpop_proof");
    let (_, tokens) = post(&site, "token", &form, &assertion(), proof(&dpop, "token")).await;
    let token = tokens["access_token"].as_str().unwrap();
    let ath = URL_SAFE_NO_PAD.encode(Secret::new(token).digest().as_bytes());
    let userinfo = async |method: Method, scheme: &str, proof: Option<String>| {
        let request = site.http.request(method, site.url("userinfo"));
        let request = request.header("authorization", format!("{scheme} {token}"));
        let proof = proof.into_iter();
        answer(proof.fold(request, |own, proof| own.header("dpop", proof))).await
    };
    let url = site.url("userinfo");
    for method in [Method::GET, Method::POST] {
        let proof = dpop.proof(method.as_str(), &url, json!({ "ath": ath }));
        let (status, _, claims) = userinfo(method.clone(), "DPoP", Some(proof.clone())).await;
        assert_eq!((status.as_u16(), &claims["sub"]), (200, &json!(ALICE)));
        let (status, headers, _) = userinfo(method, "DPoP", Some(proof)).await;
        let challenge = headers["www-authenticate"].to_str().unwrap();
        assert_eq!(status, 401);
        assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\""), "{challenge}");
    }
    let stolen = thief.proof("GET", &url, json!({ "ath": ath }));
    for (scheme, proof) in [
        ("Bearer", None),
        ("DPoP", None),
        ("DPoP", Some(stolen)),
        ("DPoP", Some(dpop.proof("GET", &url, json!({})))),
    ] {
        assert_eq!(userinfo(Method::GET, scheme, proof).await.0, 401, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_pushed_requests() {
    let site = Site::start().await;
    let key = Key::new();
    let id = register(&site, &key).await;
    let assertion = || key.assertion(&id, &site.url("token"), json!({}));
    let own = ("client_id", id.as_str());
    for (extra, error) in [
        (
            &[("redirect_uri", "https://evil.example/"), ("response_type", "code")][..],
            "invalid_request",
        ),
        (&[("response_type", "card_trick")], "unsupported_response_type"),
        (&[("response_type", "code"), ("scope", "admin")], "invalid_scope"),
        (&[("response_type", "code"), ("state", "1"), ("state", "2")], "invalid_request"),
        (&[("request_uri", "urn:ietf:params:oauth:request_uri:x")], "invalid_request"),
    ] {
        let form = [&[own], extra].concat();
        let (status, body) = post(&site, "par", &form, &assertion(), None).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{extra:?}");
    }
    // The client pushes all its requests, and another client cannot use them.
    let plain = [own, ("redirect_uri", CALLBACK), ("response_type", "code")];
    assert_eq!(Browser::new().open(&site.authorize(&plain)).await.page().status, 400);
    let (_, body) = post(&site, "par", &plain, &assertion(), None).await;
    let other = site.register(json!({})).await;
    let other = other["client_id"].as_str().unwrap();
    let uri = ("request_uri", body["request_uri"].as_str().unwrap());
    let url = site.authorize(&[("client_id", other), uri]);
    assert_eq!(Browser::new().open(&url).await.page().status, 400);
    let page = Browser::new().open(&site.authorize(&[own, uri])).await.page();
    assert_eq!(page.asks(), "/sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_assertions_and_proofs() {
    let site = Site::start().await;
    let (key, other) = (Key::new(), Key::new());
    let id = register(&site, &key).await;
    let form =
        [("client_id", id.as_str()), ("grant_type", "client_credentials"), ("scope", "api:read")];
    let assertion = |other| key.assertion(&id, &site.issuer, other);
    let used = assertion(json!({}));
    assert_eq!(post(&site, "token", &form, &used, None).await.0, 200);
    for refused in [
        used,
        other.assertion(&id, &site.issuer, json!({})),
        key.assertion(&id, "https://evil.example", json!({})),
        key.assertion("x", &site.issuer, json!({})),
        assertion(json!({ "exp": now() - 1 })),
        assertion(json!({ "exp": now() + 86_400 })),
        assertion(json!({ "jti": null })),
        "x".to_owned(),
    ] {
        let (status, body) = post(&site, "token", &form, &refused, None).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")), "{refused}");
    }
    // The identifier alone is not enough, nor is an assertion for a client with a secret.
    let bare = answer(site.http.post(site.url("token")).form(&form)).await;
    assert_eq!(bare.2["error"], "invalid_client");
    let with_secret =
        site.register(json!({ "grant_types": ["client_credentials"], "response_types": [] })).await;
    let secret_id = with_secret["client_id"].as_str().unwrap();
    let forged = key.assertion(secret_id, &site.issuer, json!({}));
    let forged_form = [("client_id", secret_id), form[1], form[2]];
    assert_eq!(post(&site, "token", &forged_form, &forged, None).await.0, 401);

    let url = site.url("token");
    let proof = |other: Value| key.proof("POST", &url, other);
    let used = proof(json!({}));
    let (_, body) = post(&site, "token", &form, &assertion(json!({})), Some(used.clone())).await;
    assert_eq!(body["token_type"], "DPoP");
    let plain = key.sign(&Header::new(Algorithm::ES256), &json!({}));
    for refused in [
        used,
        key.proof("GET", &url, json!({})),
        key.proof("POST", &site.url("par"), json!({})),
        proof(json!({ "iat": now() - 120 })),
        proof(json!({ "iat": now() + 120 })),
        proof(json!({ "iat": null })),
        plain,
        "x".to_owned(),
    ] {
        let assertion = assertion(json!({}));
        let (status, body) = post(&site, "token", &form, &assertion, Some(refused.clone())).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_dpop_proof")), "{refused}");
    }
    let jti = proof(json!({ "jti": "" }));
    assert_eq!(post(&site, "token", &form, &assertion(json!({})), Some(jti)).await.0, 400);
}
