#![allow(clippy::disallowed_methods, reason = "clients check ID tokens by their own clocks")]

use std::time::Duration;

use chrono::TimeZone as _;

use super::*;
use crate::scope::Scope;
use crate::settings::{MAX_LIFETIME, Settings};
use crate::user::User;

const ISSUER: &str = "https://issuer.example";
const CLIENT: &str = "s6BhdRkqt3";

// The key of RFC 6979 A.2.5, in PKCS #8.
const RFC_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX
Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth
+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ
-----END PRIVATE KEY-----
";

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
    NewIdToken::new(CLIENT, scope).at_token_endpoint()
}

fn payload(id_token: &str) -> Value {
    let part = id_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn claims_that_do_not_apply_are_omitted() {
    let signer = signer(rfc_key());
    let now = Utc.timestamp_opt(1_311_280_970, 999_000_000).unwrap();
    // Fractions of a second are rounded up.
    let request = request()
        .with_settings(Settings::default().with_id_token_expires_in(Duration::from_millis(1_500)));
    let scope = Scope::default();
    let id_token = signer.sign_at(now, &request, &new_token(&scope), Map::new()).unwrap();
    assert_eq!(
        payload(&id_token),
        json!({
            "iss": ISSUER,
            "sub": "248289761001",
            "aud": CLIENT,
            "iat": 1_311_280_970,
            "exp": 1_311_280_972,
        })
    );
}

#[test]
fn the_longest_lifetime_does_not_overflow() {
    let signer = signer(rfc_key());
    let now = Utc.timestamp_opt(1, 0).unwrap();
    let request =
        request().with_settings(Settings::default().with_id_token_expires_in(MAX_LIFETIME));
    let scope = Scope::default();
    let id_token = signer.sign_at(now, &request, &new_token(&scope), Map::new()).unwrap();
    assert_eq!(payload(&id_token)["exp"], 1 + 36_525_i64 * 86_400);
}

#[test]
fn signatures_match_rfc_6979() {
    let expected = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                    f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    let signature = rfc_key().sign(b"sample").unwrap();
    assert_eq!(signature.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
}
