//! Signatures of clients (RFC 7515) with ES256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::Secret;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::{Map, Value};

/// A JWT of a client, whose signature is to be checked.
pub(crate) struct Jws<'a> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    input: &'a str,
    signature: Signature,
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl<'a> Jws<'a> {
    /// Returns `None` unless it is a JWT with ES256 and without extensions that must be understood.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (input, signature) = text.rsplit_once('.')?;
        let (header, claims) = input.split_once('.')?;
        let header: Map<_, _> = serde_json::from_slice(&decode(header)?).ok()?;
        let claims = serde_json::from_slice(&decode(claims)?).ok()?;
        let signature = Signature::from_slice(&decode(signature)?).ok()?;
        let is_known = header.get("alg") == Some(&"ES256".into()) && !header.contains_key("crit");
        is_known.then_some(Self { header, claims, input, signature })
    }

    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.0.verify(self.input.as_bytes(), &self.signature).is_ok()
    }
}

/// A public key on the curve P-256.
pub(crate) struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Returns `None` for another kind of key, and for a private one.
    pub(crate) fn from_jwk(jwk: &Value) -> Option<Self> {
        let member = |name| jwk.get(name).and_then(Value::as_str);
        let is_public = member("kty") == Some("EC") && member("crv") == Some("P-256");
        let mut point = vec![4];
        for name in ["x", "y"] {
            point.extend(decode(member(name)?).filter(|own| own.len() == 32)?);
        }
        let key = VerifyingKey::from_sec1_bytes(&point).ok()?;
        (is_public && jwk.get("d").is_none()).then_some(Self(key))
    }

    /// The thumbprint (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        let point = self.0.to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let (x, y) = (encode(x), encode(y));
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        encode(Secret::new(jwk).digest().as_bytes())
    }
}
