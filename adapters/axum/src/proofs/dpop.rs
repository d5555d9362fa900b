use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use oauth_storage::client::GrantType;
use oauth_storage::endpoint::{BearerError, ProtectedResource};
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::token::{Token, TokenRef};
use oauth_storage::{AuthorizationCodeStorage, RequestContext, Secret, TokenStorage};
use serde_json::Value;

use super::jws::{Jws, PublicKey, encode};
use super::{SKEW, now};
use crate::{ClientRequest, OAuthError, OAuthState};

const INVALID: &str = "invalid_dpop_proof";

/// The difference of the clocks and the time on the way, in seconds.
const TOLERANCE: i64 = 60;

/// The thumbprint of the key whose DPoP proof came with a request (RFC 9449 4.3); `None` for a request without a proof.
/// The proof is verified and its `jti` claimed, so it cannot be used again. The claim is a row for twelve minutes, whoever
/// sent the proof: limit the rate of the endpoint in front of this server.
///
/// The URL of the request is the [issuer](OAuthState::with_issuer) and the path of the request, so it does not matter
/// what a proxy in front of the server calls it. ES256 is the algorithm.
///
/// ```
/// use oauth_storage::grant::GrantContext;
/// use oauth_storage_axum::Dpop;
///
/// /// The context of tokens that are bound to the key of the request.
/// fn context(Dpop(jkt): Dpop) -> GrantContext {
///     GrantContext::default().with_jkt(jkt)
/// }
/// ```
///
/// # Errors
/// Responds with `invalid_dpop_proof` if there are two proofs, or if the proof has another signature, method, URL or
/// access token, is older than a minute, or was used before; with status 500 if the state has no issuer.
#[derive(Debug, Clone, Default)]
pub struct Dpop(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Dpop
where
    OAuthState: FromRef<S>,
{
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, OAuthError> {
        let state = OAuthState::from_ref(state);
        let Some(proof) = Proof::read(parts, &state, None)? else { return Ok(Self(None)) };
        proof.claim(&state).await.map(|jkt| Self(Some(jkt)))
    }
}

impl ClientRequest {
    /// Checks that the request has a proof of the key to which its code or refresh token is bound (RFC 9449 5 and 10).
    /// Call it before [`exchange`](Self::exchange).
    ///
    /// # Errors
    /// Returns `invalid_dpop_proof` if there is no proof of this key, an error for the grant type as
    /// [`exchange`](Self::exchange), or the error of the storage.
    pub async fn check_proof<S>(&self, storage: &S, proof: &Dpop) -> Result<(), OAuthError>
    where
        S: AuthorizationCodeStorage + TokenStorage + ?Sized,
    {
        let (form, client_id) = (&self.form, &self.client.client_id);
        let request = RequestContext::default();
        // Of the credential that is exchanged. The form may have others.
        let context = match form.parse_grant_type(&self.client)? {
            GrantType::AuthorizationCode => match &form.code {
                Some(code) => storage
                    .get_authorization_code(&request, client_id, code)
                    .await?
                    .map(|code| code.context),
                None => None,
            },
            // Also one that was rotated, because it may be in its grace period.
            GrantType::RefreshToken => match &form.refresh_token {
                Some(token) => storage
                    .get_token(&request, client_id, TokenRef::Refresh(token))
                    .await?
                    .map(|token| token.context),
                None => None,
            },
            _ => None,
        };
        let bound = context.and_then(|context| context.jkt);
        if bound.is_none() || bound == proof.0 {
            return Ok(());
        }
        let description = "a proof of the key of this code or token is needed";
        Err(OAuthError::new("invalid_dpop_proof", description))
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), OAuthError> {
    if holds { Ok(()) } else { Err(OAuthError::new(INVALID, otherwise)) }
}

/// A verified proof.
struct Proof {
    jkt: String,
    /// Where the `jti` is claimed: proofs of other keys or for other URLs share no `jti`.
    namespace: String,
    jti: String,
}

impl Proof {
    /// Verifies the proof of a request. At a protected resource the proof is also for the access token.
    fn read(
        parts: &Parts,
        state: &OAuthState,
        access_token: Option<&Secret>,
    ) -> Result<Option<Self>, OAuthError> {
        let mut proofs = parts.headers.get_all("dpop").iter();
        let Some(proof) = proofs.next() else { return Ok(None) };
        ensure(proofs.next().is_none(), "one proof for each request")?;
        let invalid = || OAuthError::new(INVALID, "not a proof with ES256 and a public key");
        let proof = proof.to_str().ok().and_then(Jws::read).ok_or_else(invalid)?;
        let key = proof.header.get("jwk").and_then(PublicKey::from_jwk).ok_or_else(invalid)?;
        let is_proof = proof.header.get("typ") == Some(&"dpop+jwt".into());
        ensure(is_proof && proof.is_signed_by(&key), "not signed by its key")?;
        let issuer = state.issuer().ok_or_else(|| {
            tracing::error!("a proof cannot be checked: the OAuthState has no issuer");
            OAuthError::new("server_error", "proofs are not supported here")
                .with_status(StatusCode::INTERNAL_SERVER_ERROR)
        })?;
        // A nested router sees only a part of the path.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let url = format!("{issuer}{}", uri.path());
        let is_here = proof.claim("htm") == Some(parts.method.as_str())
            && proof.claim("htu").and_then(|htu| htu.split(['?', '#']).next()) == Some(&url);
        ensure(is_here, "the proof is for another request")?;
        let iat = proof.claims.get("iat").and_then(Value::as_i64);
        let is_new = iat.is_some_and(|iat| now().abs_diff(iat) <= TOLERANCE.unsigned_abs());
        ensure(is_new, "the proof is too old, or of the future")?;
        if let Some(token) = access_token {
            let ath = encode(token.digest().as_bytes());
            ensure(proof.claim("ath") == Some(&ath), "the proof is for another token")?;
        }
        let jkt = key.thumbprint();
        let jti = proof.claim("jti").unwrap_or_default().to_owned();
        Ok(Some(Self { namespace: format!("{url} {jkt}"), jkt, jti }))
    }

    /// Claims the `jti` of the proof, and returns the thumbprint of its key.
    async fn claim(self, state: &OAuthState) -> Result<String, OAuthError> {
        let lifetime = Duration::from_secs(2 * TOLERANCE.unsigned_abs()) + SKEW;
        let claim = Claim::new(self.namespace, self.jti, lifetime);
        let is_first = state.storage().claim(claim).await? == ClaimOutcome::First;
        ensure(is_first, "the proof was used before")?;
        Ok(self.jkt)
    }
}

/// Finds the bound access token of a request to a protected resource; `None` if the request has no token of the
/// scheme `DPoP`.
pub(crate) async fn bound_token(
    parts: &Parts,
    state: &OAuthState,
    resource: &ProtectedResource,
) -> Result<Option<Token>, OAuthError> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let header = headers.next().and_then(|own| own.to_str().ok());
    let Some((scheme, token)) = header.and_then(|own| own.split_once(' ')) else { return Ok(None) };
    let is_dpop = scheme.eq_ignore_ascii_case("dpop") && state.issuer().is_some();
    if !is_dpop || headers.next().is_some() {
        return Ok(None);
    }
    let refused = |code: &'static str, description: &str| {
        OAuthError::new(code, description)
            .with_status(StatusCode::UNAUTHORIZED)
            .with_challenge(format!(r#"DPoP error="{code}", algs="ES256""#))
    };
    let token = Secret::new(token.trim());
    let refused_proof = |error: OAuthError| match error.code() {
        Some(INVALID) => refused(INVALID, error.description().unwrap_or_default()),
        _ => error,
    };
    let invalid = || refused("invalid_token", "not active, or of another key");
    let proof =
        Proof::read(parts, state, Some(&token)).map_err(refused_proof)?.ok_or_else(invalid)?;
    let token = match resource.introspect_bound(state.storage(), &token, &proof.jkt).await {
        Ok(token) => token,
        Err(BearerError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(invalid()),
    };
    // Last, so that only the owner of a token makes the storage write.
    proof.claim(state).await.map_err(refused_proof)?;
    Ok(Some(token))
}
