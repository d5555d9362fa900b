//! Logout tokens, as a client validates them (OpenID Connect Back-Channel Logout 2.6).

use chrono::Utc;
use oauth_storage::IdTokenStorage as _;
use oauth_storage::error::InvalidReason;
use oauth_storage::id_token::SigningAlgorithm;
use oauth_storage::jwt::{IdTokenSigner, NewLogoutToken};
use serde_json::json;

use crate::support::{CLIENT, ISSUER, field_and_problem, jwks, payload, rfc_key, signer, verify};

const SID: &str = "08a5019c-17e1-4977-8f42-65a12843ea02";

fn new() -> NewLogoutToken<'static> {
    NewLogoutToken::new(CLIENT)
}

fn sign(signer: &IdTokenSigner, new: &NewLogoutToken<'_>) -> String {
    signer.sign_logout_token(new).unwrap()
}

#[test]
fn a_third_party_verifier_accepts_a_logout_token() {
    let signer = signer(rfc_key());
    let before = Utc::now().timestamp();
    let token = sign(&signer, &new().with_subject("248289761001").with_sid(SID));
    let mut claims = verify(&jwks(&signer), &token).unwrap();
    let iat = claims.remove("iat").unwrap().as_i64().unwrap();
    assert!((before..=Utc::now().timestamp()).contains(&iat));
    let exp = claims.remove("exp").unwrap().as_i64().unwrap();
    assert!(exp > iat && exp - iat <= 120, "at most two minutes: {}", exp - iat);
    assert!(claims.remove("jti").unwrap().as_str().unwrap().len() >= 22, "128 bits at least");
    // Neither `nonce` nor anything else.
    assert_eq!(
        serde_json::Value::Object(claims),
        json!({
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "248289761001",
            "sid": SID,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        })
    );
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    assert_eq!(header.kid.as_deref(), Some(signer.jwk_set().keys[0].kid()));
}

#[test]
fn each_has_another_jti_and_only_the_given_identifiers() {
    let signer = signer(rfc_key());
    let of_session = payload(&sign(&signer, &new().with_sid(SID)));
    assert_eq!((&of_session["sid"], of_session.get("sub")), (&json!(SID), None));
    let of_user = payload(&sign(&signer, &new().with_subject("alice")));
    assert_eq!((&of_user["sub"], of_user.get("sid")), (&json!("alice"), None));
    assert_ne!(of_session["jti"], of_user["jti"]);
}

/// A client could send it to the logout endpoint as `id_token_hint`.
#[tokio::test]
async fn a_logout_token_is_no_id_token() {
    let signer = signer(rfc_key());
    let token = sign(&signer, &new().with_subject("alice").with_sid(SID));
    assert_eq!(signer.verify_id_token_hint(&token).await.unwrap(), None);
}

#[test]
fn bad_values_are_refused_by_field() {
    let signer = signer(rfc_key());
    let long = "x".repeat(4_096);
    for (new, field, reason) in [
        (new(), "subject", InvalidReason::Missing),
        (new().with_subject(""), "subject", InvalidReason::Empty),
        (new().with_subject("a\0b"), "subject", InvalidReason::Character),
        (new().with_subject(long.as_str()), "subject", InvalidReason::TooLong(255)),
        (new().with_sid(""), "sid", InvalidReason::Empty),
        (new().with_sid("a\nb"), "sid", InvalidReason::Character),
        (new().with_sid(long.as_str()), "sid", InvalidReason::TooLong(2048)),
        (NewLogoutToken::new("").with_sid(SID), "client_id", InvalidReason::Empty),
        (
            new().with_sid(SID).with_signing_alg(SigningAlgorithm::RS256),
            "id_token_signed_response_alg",
            InvalidReason::Unsupported,
        ),
    ] {
        assert_eq!(field_and_problem(signer.sign_logout_token(&new)), (field, reason));
    }
}
