//! DPoP (RFC 9449): tokens that are bound to a key of the client.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use oauth_storage::Secret;
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::token::{Token, TokenKind};
use serde_json::Value;

use super::error::{OAuthError, Result, ensure};
use super::jws::{Jws, PublicKey, encode};
use super::{Server, now};

pub(crate) const INVALID: &str = "invalid_dpop_proof";

/// The difference of the clocks and the time on the way, in seconds.
const TOLERANCE: i64 = 60;

/// Checks the proof of a request, and returns the thumbprint of its key; `None` for a request without a
/// proof. At a protected resource the proof is also for the access token.
pub(crate) async fn thumbprint(
    server: &Server,
    headers: &HeaderMap,
    method: &str,
    path: &str,
    access_token: Option<&Secret>,
) -> Result<Option<String>> {
    let mut proofs = headers.get_all("dpop").iter();
    let Some(proof) = proofs.next() else { return Ok(None) };
    ensure(proofs.next().is_none(), INVALID, "one proof for each request")?;
    let invalid = || OAuthError::new(INVALID, "not a proof with ES256 and a public key");
    let proof = proof.to_str().ok().and_then(Jws::read).ok_or_else(invalid)?;
    let key = proof.header.get("jwk").and_then(PublicKey::from_jwk).ok_or_else(invalid)?;
    let is_proof = proof.header.get("typ") == Some(&"dpop+jwt".into());
    ensure(is_proof && proof.is_signed_by(&key), INVALID, "not signed by its key")?;
    let url = format!("{}/{path}", server.config.issuer);
    let is_here = proof.claim("htm") == Some(method)
        && proof.claim("htu").and_then(|htu| htu.split(['?', '#']).next()) == Some(&url);
    ensure(is_here, INVALID, "the proof is for another request")?;
    let iat = proof.claims.get("iat").and_then(Value::as_i64);
    let is_new = iat.is_some_and(|iat| (now() - iat).abs() <= TOLERANCE);
    ensure(is_new, INVALID, "the proof is too old, or of the future")?;
    if let Some(token) = access_token {
        let ath = encode(token.digest().as_bytes());
        ensure(proof.claim("ath") == Some(&ath), INVALID, "the proof is for another token")?;
    }
    let jkt = key.thumbprint();
    let jti = proof.claim("jti").unwrap_or_default();
    let lifetime = Duration::from_secs(2 * TOLERANCE.unsigned_abs() + 1);
    let claim = Claim::new(format!("{url} {jkt}"), jti, lifetime);
    let is_first = server.storage.claim(claim).await? == ClaimOutcome::First;
    ensure(is_first, INVALID, "the proof was used before")?;
    Ok(Some(jkt))
}

/// Finds the bound access token of a request to a protected resource; `None` if the request has no token of the
/// scheme `DPoP`.
pub(crate) async fn token(
    server: &Server,
    headers: &HeaderMap,
    method: &str,
    path: &str,
) -> Result<Option<Token>> {
    let header = headers.get(header::AUTHORIZATION).and_then(|own| own.to_str().ok());
    let Some((scheme, token)) = header.and_then(|own| own.split_once(' ')) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("dpop") {
        return Ok(None);
    }
    let refused = |code: &'static str, description: &str| {
        OAuthError::new(code, description)
            .with_status(StatusCode::UNAUTHORIZED)
            .with_challenge(format!(r#"DPoP error="{code}", algs="ES256""#))
    };
    let token = Secret::new(token.trim());
    let jkt =
        thumbprint(server, headers, method, path, Some(&token)).await.map_err(
            |error| match error.code() {
                Some(INVALID) => refused(INVALID, error.description().unwrap_or_default()),
                _ => error,
            },
        )?;
    let found = server.storage.introspect(&token).await?.filter(|token| {
        token.kind == TokenKind::Access && jkt.is_some() && token.context.jkt == jkt
    });
    found.map(Some).ok_or_else(|| refused("invalid_token", "not active, or of another key"))
}
