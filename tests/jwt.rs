//! The ID-token signer against a foreign verifier.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "an ID token is checked by the client's clock")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{TimeZone as _, Utc};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use oauth_storage::error::{InvalidReason, Result};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{IdTokenSigner, PublicKey, SigningKey};
use oauth_storage::{Error, IdTokenStorage, RequestContext, Scope, Secret, Settings, User};
use serde_json::{Map, Value, json};

/// The claims that the signer answers for, as `IdTokenSigner::with_claims` lists them.
const OWN_CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "c_hash"];

const ISSUER: &str = "https://issuer.example";
const CLIENT: &str = "s6BhdRkqt3";

// The key of RFC 6979 A.2.5, in PKCS #8. Its thumbprint was calculated outside of Rust.
const RFC_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX
Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth
+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ
-----END PRIVATE KEY-----
";
const RFC_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
";
const RFC_KID: &str = "DOvxvJiAdIqVWIkFt5hDtCunXLF0BV4-JGv4f-ALSm0";
const RFC_PRIVATE_PARTS: [&str; 3] = [
    "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE",
    "ya+p2EW6dRZrXCFX",
    "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
];

fn rfc_key() -> SigningKey {
    SigningKey::from_pkcs8_pem(RFC_KEY).unwrap()
}

fn signer(key: SigningKey) -> IdTokenSigner {
    IdTokenSigner::new(ISSUER, key).unwrap()
}

fn request() -> RequestContext {
    RequestContext::for_user(User::new("248289761001"))
}

fn new_token(scope: &Scope) -> NewIdToken<'_> {
    NewIdToken::new(CLIENT, scope).with_redirect_uri("https://client.example/cb")
}

fn field_and_problem<T: fmt::Debug>(result: Result<T>) -> (&'static str, InvalidReason) {
    match result {
        Err(Error::Invalid { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

/// A client that knows nothing but the text of `/jwks`.
fn verify(jwks: &str, id_token: &str) -> Result<Map<String, Value>, String> {
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_str(jwks).unwrap();
    let header = jsonwebtoken::decode_header(id_token).map_err(|error| error.to_string())?;
    let key = header.kid.as_deref().and_then(|kid| jwks.find(kid)).ok_or("unknown kid")?;
    assert!(key.is_supported());
    let mut validation = Validation::new(Algorithm::ES256);
    validation.leeway = 0;
    validation.set_audience(&[CLIENT]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let key = DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode(id_token, &key, &validation)
        .map(|data| data.claims)
        .map_err(|error| error.to_string())
}

fn jwks(signer: &IdTokenSigner) -> String {
    serde_json::to_string(&signer.jwk_set()).unwrap()
}

fn payload(id_token: &str) -> Value {
    let part = id_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_foreign_verifier_takes_a_token_with_every_claim() {
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
fn the_authentication_time_of_the_token_goes_before_the_users() {
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

#[test]
fn the_jwk_has_the_fields_of_rfc_7517_and_the_thumbprint_of_rfc_7638() {
    assert_eq!(
        serde_json::to_value(signer(rfc_key()).jwk_set()).unwrap(),
        json!({ "keys": [{
            "kty": "EC",
            "crv": "P-256",
            "x": "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y",
            "y": "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk",
            "use": "sig",
            "alg": "ES256",
            "kid": RFC_KID,
        }] })
    );
    for _ in 0..50 {
        let set = jwks(&signer(SigningKey::generate().unwrap()));
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&set).unwrap();
        let thumbprint = set.keys[0].thumbprint(ThumbprintHash::SHA256).unwrap();
        assert_eq!(set.keys[0].common.key_id.as_ref(), Some(&thumbprint));
    }
}

#[test]
fn keys_survive_the_way_through_pem() {
    let key = SigningKey::generate().unwrap();
    let pem = key.to_pkcs8_pem().unwrap();
    let again = SigningKey::from_pkcs8_pem(pem.expose()).unwrap();
    assert_eq!(again.to_pkcs8_pem().unwrap(), pem);
    assert_eq!(again.public_key(), key.public_key());
    assert_ne!(SigningKey::generate().unwrap().kid(), key.kid());

    let public = PublicKey::from_pem(&key.public_key().to_pem().unwrap()).unwrap();
    assert_eq!(&public, key.public_key());

    // As an environment variable or a file from elsewhere has it.
    let mended = format!("\n  {}\r\n\r\n", RFC_KEY.replace('\n', "\r\n"));
    assert_eq!(SigningKey::from_pkcs8_pem(&mended).unwrap().kid(), RFC_KID);
    assert_eq!(rfc_key().to_pkcs8_pem().unwrap().expose(), RFC_KEY);
    assert_eq!(PublicKey::from_pem(RFC_PUBLIC_KEY).unwrap().kid(), RFC_KID);
}

#[test]
fn what_is_no_key_is_a_matter_of_configuration_and_not_shown() {
    // The key of RFC_KEY in the form of SEC 1, which OpenSSL wrote once.
    let sec1 = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49
AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8
maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END EC PRIVATE KEY-----
";
    // The public point in it is not the private key's.
    let torn = RFC_KEY.replace("ya+p2EW6", "ya+p2EW7");
    for pem in ["", "ya+p2EW6dRZrXCFX", sec1, RFC_PUBLIC_KEY, &torn, &RFC_KEY[..120]] {
        let error = SigningKey::from_pkcs8_pem(pem).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Error::Configuration { source: Some(_), .. }), "{text}");
        assert!(text.contains("PKCS #8"), "{text}");
        for line in pem.lines().filter(|line| line.len() > 8 && !line.starts_with('-')) {
            assert!(!text.contains(&line[..8]), "{text}");
        }
    }
    // Not on the curve; a private key in the public key's place.
    let off = RFC_PUBLIC_KEY.replace("imQ==", "imA==");
    assert_ne!(off, RFC_PUBLIC_KEY);
    for pem in ["", &off, RFC_KEY] {
        let error = PublicKey::from_pem(pem).unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
    }
}

#[test]
fn tokens_of_a_retired_key_verify_until_it_is_dropped() {
    let [old, new] = [(); 2].map(|()| SigningKey::generate().unwrap());
    let scope = Scope::default();
    let sign =
        |signer: &IdTokenSigner| signer.sign(&request(), &new_token(&scope), Map::new()).unwrap();
    let before = sign(&signer(old.clone()));

    let rotated = signer(new.clone())
        .with_published_key(old.public_key().clone())
        .with_published_key(old.public_key().clone())
        .with_published_key(new.public_key().clone());
    let set = jwks(&rotated);
    let kids: Vec<_> = rotated.jwk_set().keys.iter().map(|key| key.kid().to_owned()).collect();
    assert_eq!(kids, [new.kid(), old.kid()]);
    assert!(verify(&set, &before).is_ok());
    assert!(verify(&set, &sign(&rotated)).is_ok());

    assert_eq!(verify(&jwks(&signer(new)), &before).unwrap_err(), "unknown kid");
}

#[test]
fn a_changed_token_does_not_verify() {
    let signer = signer(SigningKey::generate().unwrap());
    let set = jwks(&signer);
    let scope = Scope::default();
    let id_token = signer.sign(&request(), &new_token(&scope), Map::new()).unwrap();
    assert!(verify(&set, &id_token).is_ok());

    let parts: Vec<&str> = id_token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{id_token}") };
    let mut other = payload(&id_token);
    other["sub"] = json!("somebody-else");
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    assert!(verify(&set, &format!("{header}.{other}.{signature}")).is_err());

    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[63] ^= 1;
    let bytes = URL_SAFE_NO_PAD.encode(bytes);
    assert!(verify(&set, &format!("{header}.{claims}.{bytes}")).is_err());

    // Under the right kid, by another key.
    let other = SigningKey::generate().unwrap().to_pkcs8_pem().unwrap();
    let der: String = other.expose().lines().filter(|line| !line.starts_with('-')).collect();
    let other = EncodingKey::from_ec_der(&STANDARD.decode(der).unwrap());
    let input = format!("{header}.{claims}");
    let forged = jsonwebtoken::crypto::sign(input.as_bytes(), &other, Algorithm::ES256).unwrap();
    assert!(verify(&set, &format!("{header}.{claims}.{forged}")).is_err());
}

#[test]
fn s17_debug_shows_no_private_part() {
    let key = rfc_key();
    let signer = signer(key.clone()).with_claims(|_, _| Map::new());
    let text = format!("{key:?} {key:#?} {signer:?} {signer:#?} {:?}", signer.jwk_set());
    assert!(text.contains(RFC_KID) && text.contains(ISSUER), "{text}");
    for part in RFC_PRIVATE_PARTS {
        assert!(!text.to_uppercase().contains(&part.to_uppercase()), "{text}");
    }
    assert_eq!(format!("{key:?}"), format!("SigningKey {{ kid: {RFC_KID:?}, .. }}"));
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
fn what_is_wrong_is_named() {
    let signer = signer(rfc_key());
    let scope = Scope::default();
    let good = || new_token(&scope);
    let broken = |request: &RequestContext, id_token: NewIdToken<'_>| {
        field_and_problem(signer.sign(request, &id_token, Map::new()))
    };
    let with = |id_token| broken(&request(), id_token);
    let of = |client_id| with(NewIdToken::new(client_id, &scope));
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
fn a_token_through_the_browser_needs_what_binds_it() {
    let signer = signer(rfc_key());
    let scope = Scope::default();
    let (code, access_token) = (Secret::new("code"), Secret::new("token"));
    let sign = |response_type: &str, nonce, code, access_token| {
        let response_type = response_type.parse().unwrap();
        let id_token = new_token(&scope)
            .with_response_type(response_type)
            .with_nonce(nonce)
            .with_code(code)
            .with_access_token(access_token);
        signer.sign(&request(), &id_token, Map::new())
    };
    let (nonce, code, token) = (Some("n"), Some(&code), Some(&access_token));
    let no_nonce = ("nonce", InvalidReason::Missing);
    assert_eq!(field_and_problem(sign("id_token", None, None, None)), no_nonce);
    assert_eq!(field_and_problem(sign("code id_token", None, code, None)), no_nonce);
    let no_token = ("access_token", InvalidReason::Missing);
    assert_eq!(field_and_problem(sign("id_token token", nonce, None, None)), no_token);
    assert_eq!(field_and_problem(sign("code id_token token", nonce, code, None)), no_token);

    assert!(sign("id_token", nonce, None, None).is_ok());
    assert!(sign("id_token token", nonce, None, token).is_ok());
    assert!(sign("code id_token", nonce, code, None).is_ok());
    assert!(sign("code id_token token", nonce, code, token).is_ok());
    // At the token endpoint: at the exchange, and at a refresh (OpenID Connect Core 12.2).
    assert!(sign("code", None, None, token).is_ok());
    assert!(sign("code id_token", None, None, token).is_ok());
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

#[test]
fn the_signer_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<IdTokenSigner>();
    shared::<SigningKey>();
}
