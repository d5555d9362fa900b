//! `id_token_hint` (OpenID Connect Core 3.1.2.1).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oauth_storage::IdTokenStorage as _;
use oauth_storage::jwt::{IdTokenSigner, SigningKey, SigningKeys};
use oauth_storage::{MemoryStorage, RequestContext, Scope, Settings, User};
use serde_json::{Map, Value, json};

use crate::support::{CLIENT, ISSUER, new_token, payload, request, rfc_key, signer};

fn sign(signer: &IdTokenSigner, request: &RequestContext) -> String {
    signer.sign(request, &new_token(&Scope::default()), Map::new()).unwrap()
}

#[tokio::test]
async fn a_hint_names_the_user_the_session_and_the_client() {
    let user = User::new("248289761001").with_sid("08a5019c-17e1".to_owned());
    let storage = MemoryStorage::new().with_id_tokens(signer(rfc_key()));
    let new = new_token(&Scope::default()).client_id.to_owned();
    let id_token = sign(&signer(rfc_key()), &RequestContext::for_user(user));
    assert_eq!(payload(&id_token)["sid"], "08a5019c-17e1");
    let hint = storage.verify_id_token_hint(&id_token).await.unwrap().unwrap();
    assert_eq!(hint.subject, "248289761001");
    assert_eq!(hint.sid.as_deref(), Some("08a5019c-17e1"));
    assert!(hint.is_for(&new) && !hint.is_for("another") && hint.audience == [new]);
    assert_eq!(hint.issued_at.timestamp(), payload(&id_token)["iat"].as_i64().unwrap());
    assert!(MemoryStorage::new().verify_id_token_hint(&id_token).await.is_err(), "no signer");
}

#[tokio::test]
async fn an_expired_hint_and_one_of_a_retired_or_next_key_is_accepted() {
    let keys = [(); 3].map(|()| SigningKey::generate().unwrap());
    let [active, next, retired] = keys.clone();
    let set = SigningKeys::new(active).with_next(next).with_retired(retired.public_key().clone());
    let verifier = IdTokenSigner::new(ISSUER, set).unwrap();
    let short = Settings::default().with_id_token_expires_in(Duration::from_micros(1));
    for key in keys {
        let id_token = sign(&signer(key), &request().with_settings(short.clone()));
        assert!(verifier.verify_id_token_hint(&id_token).await.unwrap().is_some());
    }
    let other = sign(&signer(SigningKey::generate().unwrap()), &request());
    assert_eq!(verifier.verify_id_token_hint(&other).await.unwrap(), None);
}

/// A token of the same key and with the same claims, but of another type.
fn signed_as(typ: &str, claims: &str) -> String {
    let header = json!({ "alg": "ES256", "typ": typ, "kid": rfc_key().kid() }).to_string();
    let input = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header));
    let pem = rfc_key().to_pkcs8_pem().unwrap();
    let der: String = pem.expose().lines().filter(|line| !line.starts_with('-')).collect();
    let key = jsonwebtoken::EncodingKey::from_ec_der(&STANDARD.decode(der).unwrap());
    let algorithm = jsonwebtoken::Algorithm::ES256;
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, algorithm).unwrap();
    format!("{input}.{signature}")
}

#[tokio::test]
async fn a_forged_hint_is_refused() {
    let signer = signer(rfc_key());
    let id_token = sign(&signer, &request());
    let parts: Vec<&str> = id_token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{id_token}") };
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut other = payload(&id_token);
    other["sub"] = json!("somebody-else");
    let kid = rfc_key().kid().to_owned();
    let none = encoded(json!({ "alg": "none", "kid": kid }));
    let hmac = encoded(json!({ "alg": "HS256", "kid": kid }));
    let rs256 = encoded(json!({ "alg": "RS256", "kid": kid }));
    let crit = encoded(json!({ "alg": "ES256", "kid": kid, "crit": ["exp"] }));
    for forged in [
        String::new(),
        "..".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{}.{signature}", encoded(other)),
        format!("{none}.{claims}."),
        format!("{hmac}.{claims}.{signature}"),
        format!("{rs256}.{claims}.{signature}"),
        format!("{crit}.{claims}.{signature}"),
        signed_as("at+jwt", claims),
        format!("{id_token}{}", "A".repeat(16 * 1024)),
        format!("{id_token}.x"),
    ] {
        let verified = signer.verify_id_token_hint(&forged).await.unwrap();
        assert_eq!(verified, None, "{forged}");
    }
    for accepted in [id_token.clone(), signed_as("JWT", claims)] {
        assert!(signer.verify_id_token_hint(&accepted).await.unwrap().is_some());
    }
    // Of another issuer with the same key.
    let other = IdTokenSigner::new("https://other.example", rfc_key()).unwrap();
    assert_eq!(other.verify_id_token_hint(&id_token).await.unwrap(), None);
    assert_eq!(payload(&id_token)["aud"], CLIENT);
}
