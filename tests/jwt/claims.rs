//! The claims, and the input that the signer refuses.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use jsonwebtoken::Algorithm;
use oauth_storage::error::InvalidReason;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::{IdTokenStorage, RequestContext, Scope, Secret, Settings, User};
use serde_json::{Map, Value, json};

use crate::support::{
    CLIENT, ISSUER, field_and_problem, jwks, new_token, payload, request, rfc_key, signer, verify,
};

/// The claims that the signer sets itself, as listed by `IdTokenSigner::with_claims`.
const OWN_CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "c_hash"];

#[tokio::test]
async fn a_third_party_verifier_accepts_a_token_with_every_claim() {
    let signer = Arc::new(signer(SigningKey::generate().unwrap()));
    let storage: Arc<dyn IdTokenStorage> = signer.clone();
    let auth_time = Utc.timestamp_opt(1_311_280_969, 999_999_999).unwrap();
    let mut request = request();
    request.user.as_mut().unwrap().acr = Some("urn:mace:incommon:iap:silver".into());
    request.user.as_mut().unwrap().amr = vec!["pwd".into(), "otp".into()];
    let scope = "openid".parse().unwrap();
    let access_token = Secret::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
    let code = Secret::new("Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk");
    let id_token = new_token(&scope)
        .with_response_type("code id_token token".parse().unwrap())
        .with_nonce("n-0S6_WzA2Mj")
        .with_auth_time(auth_time)
        .with_access_token(&access_token)
        .with_code(&code);
    let before = Utc::now().timestamp();
    let id_token = storage.get_id_token(&request, id_token).await.unwrap();
    let mut claims = verify(&jwks(&signer), &id_token).unwrap();

    let iat = claims.remove("iat").unwrap().as_i64().unwrap();
    assert!((before..=Utc::now().timestamp()).contains(&iat));
    assert_eq!(claims.remove("exp").unwrap(), json!(iat + 3600));
    assert_eq!(
        Value::Object(claims),
        json!({
            "iss": ISSUER,
            "sub": "248289761001",
            "aud": CLIENT,
            "auth_time": 1_311_280_969,
            "nonce": "n-0S6_WzA2Mj",
            "acr": "urn:mace:incommon:iap:silver",
            "amr": ["pwd", "otp"],
            // OpenID Connect Core, appendices A.4 and A.6.
            "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
            "c_hash": "LDktKdoQak3Pk0cnXxCltA",
        })
    );
    let header = jsonwebtoken::decode_header(&id_token).unwrap();
    assert_eq!(header.alg, Algorithm::ES256);
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    assert_eq!(header.kid.as_deref(), Some(signer.jwk_set().keys[0].kid()));
}

#[test]
fn the_authentication_time_of_the_token_takes_precedence_over_the_users() {
    let signer = signer(rfc_key());
    let [of_user, of_code] = [100, 50].map(|seconds| Utc.timestamp_opt(seconds, 0).unwrap());
    let request = RequestContext::for_user(User::new("alice").with_auth_time(of_user));
    let scope = Scope::default();
    let auth_time = |auth_time| {
        let id_token = new_token(&scope).with_auth_time(auth_time);
        payload(&signer.sign(&request, &id_token, Map::new()).unwrap())["auth_time"].clone()
    };
    assert_eq!(auth_time(None), 100);
    assert_eq!(auth_time(Some(of_code)), 50);
}

#[tokio::test]
async fn claims_of_the_application_are_added_but_replace_nothing() {
    let signer = signer(rfc_key()).with_claims(|request, id_token| {
        assert_eq!(request.subject(), Some("248289761001"));
        let mut claims: Map<_, _> =
            OWN_CLAIMS.iter().map(|name| ((*name).to_owned(), json!("forged"))).collect();
        if id_token.scope.contains("email") {
            claims.insert("email".into(), json!("jane@issuer.example"));
        }
        claims
    });
    let claims = async |scope: &str| {
        let scope = scope.parse().unwrap();
        payload(&signer.get_id_token(&request(), new_token(&scope)).await.unwrap())
    };
    let with_email = claims("openid email").await;
    assert_eq!(with_email["email"], "jane@issuer.example");
    assert_eq!([&with_email["iss"], &with_email["sub"]], [ISSUER, "248289761001"]);
    assert_eq!(with_email["aud"], CLIENT);
    assert!(!with_email.to_string().contains("forged"), "{with_email}");
    assert!(claims("openid").await.get("email").is_none());
}

#[tokio::test]
async fn a_token_without_a_user_is_refused() {
    let signer = signer(rfc_key());
    let scope = Scope::default();
    let result = signer.get_id_token(&RequestContext::default(), new_token(&scope)).await;
    assert_eq!(field_and_problem(result), ("subject", InvalidReason::Missing));
}

#[test]
fn invalid_input_is_named() {
    let signer = signer(rfc_key());
    let scope = Scope::default();
    let good = || new_token(&scope);
    let broken = |request: &RequestContext, id_token: NewIdToken<'_>| {
        field_and_problem(signer.sign(request, &id_token, Map::new()))
    };
    let with = |id_token| broken(&request(), id_token);
    let of = |client_id| with(NewIdToken::new(client_id, &scope).at_token_endpoint());
    assert_eq!(of(""), ("client_id", InvalidReason::Empty));
    assert_eq!(of("c\n"), ("client_id", InvalidReason::Character));
    assert_eq!(with(good().with_nonce("")), ("nonce", InvalidReason::Empty));
    let long = "n".repeat(2049);
    assert_eq!(with(good().with_nonce(long.as_str())), ("nonce", InvalidReason::TooLong(2048)));
    let early = Utc.timestamp_opt(-1, 0).unwrap();
    assert_eq!(with(good().with_auth_time(early)), ("auth_time", InvalidReason::OutOfRange));
    let secret = Secret::new("é");
    assert_eq!(with(good().with_access_token(&secret)), ("access_token", InvalidReason::Character));
    assert_eq!(with(good().with_code(&secret)), ("code", InvalidReason::Character));

    let user = |user| broken(&RequestContext::for_user(user), good());
    assert_eq!(user(User::new("")), ("subject", InvalidReason::Empty));
    assert_eq!(user(User::new("s".repeat(256))), ("subject", InvalidReason::TooLong(255)));
    let acr = Some(String::new());
    assert_eq!(user(User::new("alice").with_acr(acr)), ("acr", InvalidReason::Empty));
    let amr = vec![String::from("p\0wd")];
    assert_eq!(user(User::new("alice").with_amr(amr)), ("amr", InvalidReason::Character));

    let settings = Settings::default().with_id_token_expires_in(Duration::ZERO);
    assert_eq!(
        broken(&request().with_settings(settings), good()),
        ("id_token_expires_in", InvalidReason::OutOfRange)
    );
}

#[test]
fn a_token_of_the_authorization_endpoint_needs_nonce_and_access_token() {
    let signer = signer(rfc_key());
    let scope = Scope::default();
    let (code, access_token) = (Secret::new("code"), Secret::new("token"));
    let endpoint = std::cell::Cell::new("authorization");
    let sign = |response_type: &str, nonce, code, access_token| {
        let response_type = response_type.parse().unwrap();
        let id_token = NewIdToken::new(CLIENT, &scope)
            .with_response_type(response_type)
            .with_nonce(nonce)
            .with_code(code)
            .with_access_token(access_token);
        let id_token =
            if endpoint.get() == "token" { id_token.at_token_endpoint() } else { id_token };
        signer.sign(&request(), &id_token, Map::new())
    };
    let (nonce, code, token) = (Some("n"), Some(&code), Some(&access_token));
    let no_nonce = ("nonce", InvalidReason::Missing);
    assert_eq!(field_and_problem(sign("id_token", None, None, None)), no_nonce);
    assert_eq!(field_and_problem(sign("code id_token", None, code, None)), no_nonce);
    let no_token = ("access_token", InvalidReason::Missing);
    assert_eq!(field_and_problem(sign("id_token token", nonce, None, None)), no_token);
    assert_eq!(field_and_problem(sign("code id_token token", nonce, code, None)), no_token);

    // OpenID Connect Core 3.3.2.11.
    let no_code = ("code", InvalidReason::Missing);
    assert_eq!(field_and_problem(sign("code id_token", nonce, None, None)), no_code);
    assert_eq!(field_and_problem(sign("code id_token token", nonce, None, token)), no_code);

    assert!(sign("id_token", nonce, None, None).is_ok());
    assert!(sign("id_token token", nonce, None, token).is_ok());
    assert!(sign("code id_token", nonce, code, None).is_ok());
    assert!(sign("code id_token token", nonce, code, token).is_ok());
    let not_issued = ("response_type", InvalidReason::NotAllowed);
    assert_eq!(field_and_problem(sign("code", nonce, code, token)), not_issued);
    endpoint.set("token");
    assert!(sign("code", None, None, token).is_ok());
    assert!(sign("code id_token", None, None, token).is_ok());
    assert!(sign("code id_token token", None, None, None).is_ok());
    // `c_hash` may be in a token of the code flow.
    assert!(sign("code", None, code, token).is_ok());
}

#[test]
fn an_issuer_is_an_https_url_or_a_loopback_one() {
    for issuer in [
        ISSUER,
        "https://issuer.example/",
        "https://issuer.example:8443/tenant/1",
        "http://localhost:8080",
        "http://127.0.0.1:8080/",
        "http://[::1]",
    ] {
        let signer = IdTokenSigner::new(issuer, rfc_key()).unwrap();
        let scope = Scope::default();
        let id_token = signer.sign(&request(), &new_token(&scope), Map::new()).unwrap();
        assert_eq!(payload(&id_token)["iss"], issuer);
    }
    let long = format!("https://issuer.example/{}", "a".repeat(2048));
    for (issuer, reason) in [
        ("", InvalidReason::Empty),
        (&long, InvalidReason::TooLong(2048)),
        ("issuer.example", InvalidReason::NotAbsolute),
        ("/issuer", InvalidReason::NotAbsolute),
        ("https://", InvalidReason::NotAbsolute),
        ("https:issuer.example", InvalidReason::NotAbsolute),
        ("HTTPS://issuer.example", InvalidReason::NotAbsolute),
        ("http://issuer.example", InvalidReason::Unsupported),
        ("http://localhost.issuer.example", InvalidReason::Unsupported),
        ("http://10.0.0.1", InvalidReason::Unsupported),
        ("urn:issuer", InvalidReason::Unsupported),
        ("https://issuer.example?tenant=1", InvalidReason::NotAllowed),
        ("https://issuer.example/?", InvalidReason::NotAllowed),
        ("https://issuer.example#", InvalidReason::Fragment),
        ("https://user@issuer.example", InvalidReason::Hostile),
        ("https://:pw@issuer.example", InvalidReason::Hostile),
        ("https://issuer.example ", InvalidReason::Character),
        ("https://issuer.example\\@evil.example", InvalidReason::Character),
        ("https://bücher.example", InvalidReason::Character),
        ("https://issuer.example/\0", InvalidReason::Character),
    ] {
        let result = IdTokenSigner::new(issuer, rfc_key());
        assert_eq!(field_and_problem(result), ("issuer", reason), "{issuer:?}");
    }
}
