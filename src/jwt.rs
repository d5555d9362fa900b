//! The ID-token signer: ES256 with one key that signs, and a JWK set of all that verify.
//!
//! [`IdTokenSigner`] is an [`IdTokenStorage`]; its [`jwk_set`](IdTokenSigner::jwk_set) is the body
//! of the server's `/jwks`.
//!
//! To rotate a key, publish the new one first, with
//! [`with_published_key`](IdTokenSigner::with_published_key). When every client's copy of the JWK
//! set has it, let the two change places. When the last token of the old key has expired, drop it.

mod key;

use std::{fmt, iter};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

pub use self::key::{PublicKey, SigningKey};
use crate::check::{MAX_IDENTIFIER_BYTES, check_client_id, check_text};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::id_token::{IdTokenStorage, NewIdToken};
use crate::redirect_uri::is_loopback;
use crate::request::RequestContext;
use crate::secret::Secret;

/// The longest issuer, in bytes.
const MAX_ISSUER_BYTES: usize = 2048;

/// The claims that the signer answers for. An application's own claims cannot have these names,
/// not even in a token that lacks the claim: a made-up `nonce` or `at_hash` is as bad as a changed
/// one.
const OWN_CLAIMS: [&str; 11] =
    ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "c_hash"];

type Claims = dyn Fn(&RequestContext, &NewIdToken<'_>) -> Map<String, Value> + Send + Sync;

/// Signs ID tokens with ES256 (OpenID Connect Core 2, RFC 7515, RFC 7518 3.4).
///
/// Give it to a storage as its [`IdTokenStorage`], in an [`Arc`](std::sync::Arc) where `/jwks`
/// needs it, too.
///
/// ```
/// use oauth_storage::jwt::{IdTokenSigner, SigningKey};
/// use oauth_storage::{RequestContext, ResponseType, User};
/// use oauth_storage::id_token::NewIdToken;
///
/// // Once: make a key, and keep it where only the server can read it.
/// let pem = SigningKey::generate()?.to_pkcs8_pem()?;
///
/// // At every start of the server:
/// let key = SigningKey::from_pkcs8_pem(pem.expose())?;
/// let signer = IdTokenSigner::new("https://issuer.example", key)?;
/// let jwks = serde_json::to_string(&signer.jwk_set()).unwrap();
/// assert!(jwks.starts_with(r#"{"keys":[{"kty":"EC","crv":"P-256","#));
///
/// // At a request; the contract's `get_id_token` does the same.
/// let request = RequestContext::for_user(User::new("248289761001"));
/// let scope = "openid".parse()?;
/// let new = NewIdToken::new("s6BhdRkqt3", &scope).with_nonce("n-0S6_WzA2Mj");
/// let id_token = signer.sign(&request, &new, serde_json::Map::new())?;
/// assert_eq!(id_token.split('.').count(), 3);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
pub struct IdTokenSigner {
    issuer: String,
    key: SigningKey,
    /// The first part of every token: the header, encoded.
    header: String,
    published: Vec<PublicKey>,
    claims: Option<Box<Claims>>,
}

impl IdTokenSigner {
    /// A signer for the issuer, which becomes `iss` just as it is given: it has to be the string
    /// that the discovery document has (OpenID Connect Discovery 3), to the last slash.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `issuer`, unless it is an `https` URL, or an `http` URL of a loopback
    /// host for development, without user information, query and fragment (OpenID Connect Core 2).
    pub fn new(issuer: impl Into<String>, key: SigningKey) -> Result<Self> {
        let issuer = issuer.into();
        check_issuer(&issuer)?;
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.kid() }).to_string();
        Ok(Self {
            issuer,
            key,
            header: URL_SAFE_NO_PAD.encode(header),
            published: Vec::new(),
            claims: None,
        })
    }

    /// Publishes another key in the JWK set, which signs nothing: one that was retired, so that
    /// its last tokens still verify, or the next one, before it is used. Call it once per key; a
    /// key that is published already is not published twice.
    ///
    /// A retired key has to stay for [`Settings::id_token_expires_in`](crate::Settings) after its
    /// last signature.
    #[must_use]
    pub fn with_published_key(mut self, key: PublicKey) -> Self {
        if self.public_keys().all(|published| published.kid() != key.kid()) {
            self.published.push(key);
        }
        self
    }

    /// Adds claims of the application's own, such as `email` where the scope `email` was granted
    /// (OpenID Connect Core 5.1). A second call replaces the first.
    ///
    /// The function runs at every token and should answer from memory; whoever has to wait for the
    /// answer waits first, and calls [`IdTokenSigner::sign`]. The claims that the signer answers
    /// for (`iss`, `sub`, `aud`, `exp`, `iat`, `auth_time`, `nonce`, `acr`, `amr`, `at_hash` and
    /// `c_hash`) are left out of what it returns.
    ///
    /// ```
    /// # use oauth_storage::jwt::{IdTokenSigner, SigningKey};
    /// use serde_json::{Map, json};
    ///
    /// # let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate()?)?;
    /// let signer = signer.with_claims(|request, new| {
    ///     let mut claims = Map::new();
    ///     if let (true, Some(subject)) = (new.scope.contains("email"), new.full_subject(request)) {
    ///         claims.insert("email".into(), json!(format!("{subject}@issuer.example")));
    ///     }
    ///     claims
    /// });
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    #[must_use]
    pub fn with_claims<F>(mut self, claims: F) -> Self
    where
        F: Fn(&RequestContext, &NewIdToken<'_>) -> Map<String, Value> + Send + Sync + 'static,
    {
        self.claims = Some(Box::new(claims));
        self
    }

    /// The keys that verify the signer's tokens, the signing key first: the body of `/jwks`
    /// (`application/jwk-set+json`, RFC 7517 8.5.2).
    #[must_use]
    pub fn jwk_set(&self) -> JwkSet {
        JwkSet { keys: self.public_keys().cloned().collect() }
    }

    /// The signed ID token, with these claims of the application's own rather than those of
    /// [`IdTokenSigner::with_claims`], and under the same rule.
    ///
    /// `iat` is the time of this machine's clock, in whole seconds. `exp` is later by
    /// `request.settings.id_token_expires_in`, rounded up to whole seconds. `aud` is the client
    /// alone, hence there is no `azp`. It takes about a tenth of a millisecond and does not block.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name, in particular [`InvalidReason::Missing`] for `subject`
    /// where there is none, and for `nonce` or `access_token` where a token from the
    /// authorization endpoint has to have `nonce` or `at_hash` (OpenID Connect Core 3.2.2.10,
    /// 3.3.2.11).
    pub fn sign(
        &self,
        request: &RequestContext,
        id_token: &NewIdToken<'_>,
        claims: Map<String, Value>,
    ) -> Result<String> {
        // Not the database's clock: the client compares with its own, whatever is in here.
        #[allow(clippy::disallowed_methods, reason = "no decision of the storage depends on it")]
        let now = Utc::now();
        self.sign_at(now, request, id_token, claims)
    }

    fn sign_at(
        &self,
        now: DateTime<Utc>,
        request: &RequestContext,
        id_token: &NewIdToken<'_>,
        mut claims: Map<String, Value>,
    ) -> Result<String> {
        request.settings.check()?;
        check_client_id(id_token.client_id)?;
        let subject = id_token.full_subject(request);
        let subject = subject.ok_or(Error::invalid("subject", InvalidReason::Missing))?;
        check_text("subject", subject, MAX_IDENTIFIER_BYTES)?;
        check_front_channel(id_token)?;
        let context = GrantContext::default()
            .with_nonce(id_token.nonce.map(str::to_owned))
            .with_auth_time(id_token.auth_time)
            .with_acr(id_token.acr.map(str::to_owned))
            .with_amr(id_token.amr.to_vec())
            .or_from(request.user.as_ref().filter(|user| user.subject == subject));
        context.check()?;
        let hash = |field, secret: Option<&Secret>| {
            secret.map(|secret| secret.check(field).map(|()| left_half_hash(secret))).transpose()
        };
        let at_hash = hash("access_token", id_token.access_token)?;
        let c_hash = hash("code", id_token.code)?;

        claims.retain(|name, _| !OWN_CLAIMS.contains(&name.as_str()));
        let lifetime = request.settings.id_token_expires_in;
        let lifetime = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
        let iat = now.timestamp();
        let mut insert = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        insert("iss", json!(self.issuer));
        insert("sub", json!(subject));
        insert("aud", json!(id_token.client_id));
        insert("iat", json!(iat));
        insert("exp", json!(iat.saturating_add_unsigned(lifetime)));
        if let Some(auth_time) = context.auth_time {
            insert("auth_time", json!(auth_time.timestamp()));
        }
        if !context.amr.is_empty() {
            insert("amr", json!(context.amr));
        }
        for (name, value) in [
            ("nonce", context.nonce),
            ("acr", context.acr),
            ("at_hash", at_hash),
            ("c_hash", c_hash),
        ] {
            if let Some(value) = value {
                insert(name, Value::String(value));
            }
        }

        let claims = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
        let input = format!("{}.{claims}", self.header);
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(input.as_bytes())?);
        Ok(format!("{input}.{signature}"))
    }

    fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        iter::once(self.key.public_key()).chain(&self.published)
    }
}

#[async_trait]
impl IdTokenStorage for IdTokenSigner {
    async fn get_id_token(
        &self,
        request: &RequestContext,
        id_token: NewIdToken<'_>,
    ) -> Result<String> {
        let claims = self.claims.as_ref().map(|claims| claims(request, &id_token));
        self.sign(request, &id_token, claims.unwrap_or_default())
    }
}

impl fmt::Debug for IdTokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdTokenSigner")
            .field("issuer", &self.issuer)
            .field("key", &self.key)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

/// A JWK set (RFC 7517 5), of public keys only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<PublicKey>,
}

/// `at_hash` and `c_hash` (OpenID Connect Core 3.1.3.6, 3.3.2.11): the left half of the SHA-256,
/// the hash of ES256.
fn left_half_hash(secret: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(&secret.digest().as_bytes()[..16])
}

/// The hash that binds a token sent through the browser (OpenID Connect Core 3.2.2.10,
/// 3.3.2.11); without it, a client could not tell it from one that was slipped in.
fn check_front_channel(id_token: &NewIdToken<'_>) -> Result<()> {
    let asked = id_token.response_type;
    // The token endpoint answers the hybrid flow, too, but has no code to hash there.
    let front_channel = asked.has_id_token() && (!asked.has_code() || id_token.code.is_some());
    if front_channel && id_token.nonce.is_none() {
        return Err(Error::invalid("nonce", InvalidReason::Missing));
    }
    if front_channel && asked.has_token() && id_token.access_token.is_none() {
        return Err(Error::invalid("access_token", InvalidReason::Missing));
    }
    Ok(())
}

/// The issuer identifier of OpenID Connect Core 2 (RFC 8414 2 is the same). It is only checked,
/// never rewritten, as clients compare it byte by byte.
fn check_issuer(issuer: &str) -> Result<()> {
    let invalid = |reason| Err(Error::invalid("issuer", reason));
    check_text("issuer", issuer, MAX_ISSUER_BYTES)?;
    // What a URL parser would mend, and RFC 3986 does not have.
    if !issuer.bytes().all(|byte| byte.is_ascii_graphic()) || issuer.contains('\\') {
        return invalid(InvalidReason::Character);
    }
    if issuer.contains('#') {
        return invalid(InvalidReason::Fragment);
    }
    if issuer.contains('?') {
        return invalid(InvalidReason::NotAllowed);
    }
    let Ok(url) = Url::parse(issuer) else { return invalid(InvalidReason::NotAbsolute) };
    if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
        return invalid(match url.scheme() {
            // `https:host`, which a URL parser takes for `https://host`, or `HTTPS://host`.
            "http" | "https" => InvalidReason::NotAbsolute,
            _ => InvalidReason::Unsupported,
        });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(InvalidReason::Hostile);
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return invalid(InvalidReason::Unsupported);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
