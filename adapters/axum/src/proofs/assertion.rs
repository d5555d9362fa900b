//! Client authentication with `private_key_jwt` (RFC 7523, OpenID Connect Core 9).

use std::time::Duration;

use oauth_storage::client::{Client, MAX_CLIENT_KEYS, TokenEndpointAuthMethod};
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::{RequestContext, Storage};
use serde::Deserialize;
use serde_json::Value;

use super::jws::{Jws, PublicKey};
use super::{SKEW, now};
use crate::OAuthError;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest remaining lifetime of an assertion, in seconds: its `jti` is kept as long.
const MAX_LIFETIME: i64 = 600;

/// The parameters of an assertion.
#[derive(Deserialize)]
pub(crate) struct Assertion {
    client_assertion: Option<String>,
    client_assertion_type: Option<String>,
}

impl Assertion {
    pub(crate) fn is_given(&self) -> bool {
        self.client_assertion.is_some()
    }

    /// Returns the client if the assertion is its own, for this server, and not used before.
    pub(crate) async fn verify(
        &self,
        storage: &dyn Storage,
        issuer: &str,
        client_id: &str,
    ) -> Result<Client, OAuthError> {
        let refused = |why| OAuthError::new("invalid_client", why);
        let is_jwt = self.client_assertion_type.as_deref() == Some(TYPE);
        let jws = self.client_assertion.as_deref().filter(|_| is_jwt).and_then(Jws::read);
        let jws = jws.ok_or_else(|| refused("the client_assertion is no JWT with ES256"))?;
        let client = storage.get_client(&RequestContext::default(), client_id, None).await?;
        let method = TokenEndpointAuthMethod::PrivateKeyJwt;
        let client = client.filter(|own| own.metadata.token_endpoint_auth_method == method);
        let client = client.ok_or_else(OAuthError::invalid_client)?;

        let keys = client.metadata.details.jwks.as_ref().and_then(|jwks| jwks.get("keys"));
        let kid = jws.header.get("kid");
        let mut keys = keys
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            // An import may have stored more.
            .take(MAX_CLIENT_KEYS)
            .filter(|jwk| kid.is_none() || jwk.get("kid").is_none() || jwk.get("kid") == kid);
        let is_signed =
            keys.any(|jwk| PublicKey::from_jwk(jwk).is_some_and(|key| jws.is_signed_by(&key)));
        // The issuer, or the endpoint in which older clients name it.
        let is_here = |aud: &Value| aud == issuer || aud == &format!("{issuer}/token");
        let is_for_us = match jws.claims.get("aud") {
            Some(Value::Array(audience)) => audience.iter().any(is_here),
            Some(audience) => is_here(audience),
            None => false,
        };
        let is_own = jws.claim("iss") == Some(client_id) && jws.claim("sub") == Some(client_id);
        let exp = jws.claims.get("exp").and_then(Value::as_i64).unwrap_or_default();
        let remaining = exp.saturating_sub(now());
        if !is_signed || !is_for_us || !is_own || !(1..=MAX_LIFETIME).contains(&remaining) {
            return Err(refused(
                "the client_assertion has a wrong signature, iss, sub, aud or exp",
            ));
        }
        let jti = jws.claim("jti").ok_or_else(|| refused("the client_assertion has no jti"))?;
        let lifetime = Duration::from_secs(remaining.unsigned_abs()) + SKEW;
        match storage.claim(Claim::new(client_id, jti, lifetime)).await? {
            ClaimOutcome::First => Ok(client),
            ClaimOutcome::Seen => Err(refused("the client_assertion was used before")),
        }
    }
}
