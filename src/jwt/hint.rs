//! Verification of `id_token_hint`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde::Deserialize;

use super::keys::SigningKeys;
use crate::id_token::{IdTokenHint, SigningAlgorithm};

/// The maximum length of a hint, in bytes.
const MAX_HINT_BYTES: usize = 16 * 1024;

#[derive(Deserialize)]
struct Header {
    alg: SigningAlgorithm,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515 4.1.11); none is.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    sid: Option<String>,
    aud: Audience,
    iat: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Returns `None` unless one of the keys signed the token for this issuer. Expiry is ignored.
pub(super) fn verify(keys: &SigningKeys, issuer: &str, hint: &str) -> Option<IdTokenHint> {
    if hint.len() > MAX_HINT_BYTES {
        return None;
    }
    let (input, signature) = hint.rsplit_once('.')?;
    let (header, claims) = input.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
    // An access token that the application signs with the same key is no hint (RFC 8725 3.11).
    if header.crit.is_some() || header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return None;
    }
    let signature = decode(signature)?;
    let is_signed = keys
        .public_keys()
        // The algorithm is that of the key, never the one that the token chooses (RFC 8725 3.1).
        .filter(|key| key.algorithm() == header.alg)
        .filter(|key| header.kid.as_deref().is_none_or(|kid| key.kid() == kid))
        .any(|key| key.verifies(input.as_bytes(), &signature));
    if !is_signed {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
    (claims.iss == issuer).then_some(())?;
    Some(IdTokenHint {
        subject: claims.sub,
        sid: claims.sid,
        audience: match claims.aud {
            Audience::One(client_id) => vec![client_id],
            Audience::Many(client_ids) => client_ids,
        },
        issued_at: DateTime::from_timestamp(claims.iat, 0)?,
    })
}
