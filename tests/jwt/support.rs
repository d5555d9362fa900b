//! A fixed key, and a client that verifies ID tokens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use oauth_storage::error::{InvalidReason, Result};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::{Error, RequestContext, Scope, User};
use serde_json::{Map, Value};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const CLIENT: &str = "s6BhdRkqt3";

// The key of RFC 6979 A.2.5, in PKCS #8. Its thumbprint was calculated outside of Rust.
pub(crate) const RFC_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX
Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth
+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ
-----END PRIVATE KEY-----
";
pub(crate) const RFC_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
";
pub(crate) const RFC_KID: &str = "DOvxvJiAdIqVWIkFt5hDtCunXLF0BV4-JGv4f-ALSm0";
pub(crate) const RFC_PRIVATE_PARTS: [&str; 3] = [
    "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE",
    "ya+p2EW6dRZrXCFX",
    "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
];

pub(crate) fn rfc_key() -> SigningKey {
    SigningKey::from_pkcs8_pem(RFC_KEY).unwrap()
}

pub(crate) fn signer(key: SigningKey) -> IdTokenSigner {
    IdTokenSigner::new(ISSUER, key).unwrap()
}

pub(crate) fn request() -> RequestContext {
    RequestContext::for_user(User::new("248289761001"))
}

pub(crate) fn new_token(scope: &Scope) -> NewIdToken<'_> {
    NewIdToken::new(CLIENT, scope).at_token_endpoint()
}

pub(crate) fn field_and_problem<T: fmt::Debug>(result: Result<T>) -> (&'static str, InvalidReason) {
    match result {
        Err(Error::Invalid { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

/// Verifies a token as a client that has only the text of `/jwks`.
pub(crate) fn verify(jwks: &str, id_token: &str) -> Result<Map<String, Value>, String> {
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

pub(crate) fn jwks(signer: &IdTokenSigner) -> String {
    serde_json::to_string(&signer.jwk_set()).unwrap()
}

pub(crate) fn payload(id_token: &str) -> Value {
    let part = id_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
