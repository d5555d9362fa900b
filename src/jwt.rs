//! A signer of ID tokens and logout tokens: ES256 and RS256, and a JWK set of all verification keys.
//!
//! [`IdTokenSigner`] is an [`IdTokenStorage`]; its [`jwk_set`](IdTokenSigner::jwk_set) is the body
//! of the server's `/jwks`. [`SigningKeys`] explains the rotation of keys; [`ManagedKeys`] keeps them in a
//! storage, encrypted, and rotates them once over all nodes.
//!
//! RS256, which OpenID Connect Discovery 3 requires of every provider, needs the feature
//! `jwt-rs256`, which builds AWS-LC and so a C compiler.

mod encryption;
mod hint;
mod key;
mod keys;
mod logout;
mod managed;
mod rsa;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use url::Url;

pub use self::encryption::{KeyEncryption, KeyEncryptionKey};
pub use self::key::{PublicKey, SigningKey};
pub use self::keys::{JwkSet, SigningKeys};
pub use self::logout::NewLogoutToken;
pub use self::managed::ManagedKeys;
use crate::check::{MAX_IDENTIFIER_BYTES, check_client_id, check_text};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::id_token::{IdTokenHint, IdTokenStorage, NewIdToken, SigningAlgorithm};
use crate::redirect_uri::is_loopback;
use crate::request::RequestContext;
use crate::secret::Secret;

/// The maximum length of an issuer, in bytes.
const MAX_ISSUER_BYTES: usize = 2048;

/// Claims that only the signer sets. An application cannot set them even in a token that lacks
/// them, because a forged `nonce` or `at_hash` is as bad as a changed one.
const OWN_CLAIMS: [&str; 12] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "at_hash",
    "c_hash",
    "sid",
];

type Claims = dyn Fn(&RequestContext, &NewIdToken<'_>) -> Map<String, Value> + Send + Sync;

/// A signer of ID tokens (OpenID Connect Core 2, RFC 7515).
///
/// Pass it to a storage as its [`IdTokenStorage`], in an [`Arc`] if `/jwks` needs
/// it as well.
///
/// ```
/// use oauth_storage::jwt::{IdTokenSigner, SigningKey};
/// use oauth_storage::{RequestContext, ResponseType, User};
/// use oauth_storage::id_token::NewIdToken;
///
/// // Once: generate a key and store it where only the server can read it.
/// let pem = SigningKey::generate()?.to_pkcs8_pem()?;
///
/// // At every start of the server:
/// let key = SigningKey::from_pkcs8_pem(pem.expose())?;
/// let signer = IdTokenSigner::new("https://issuer.example", key)?;
/// let jwks = serde_json::to_string(&signer.jwk_set()).unwrap();
/// assert!(jwks.starts_with(r#"{"keys":[{"kty":"EC","crv":"P-256","#));
///
/// // For a request; `get_id_token` does the same.
/// let request = RequestContext::for_user(User::new("248289761001"));
/// let scope = "openid".parse()?;
/// let new = NewIdToken::new("s6BhdRkqt3", &scope).at_token_endpoint();
/// let id_token = signer.sign(&request, &new, serde_json::Map::new())?;
/// assert_eq!(id_token.split('.').count(), 3);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
pub struct IdTokenSigner {
    issuer: String,
    keys: RwLock<Arc<SigningKeys>>,
    claims: Option<Box<Claims>>,
}

impl IdTokenSigner {
    /// Creates a signer. The issuer becomes `iss` unchanged. It must equal the issuer of the
    /// discovery document (OpenID Connect Discovery 3), including any trailing slash.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `issuer` unless it is an `https` URL, or an `http` URL of a
    /// loopback host for development, without user information, query and fragment (OpenID Connect
    /// Core 2).
    pub fn new(issuer: impl Into<String>, keys: impl Into<SigningKeys>) -> Result<Self> {
        let issuer = issuer.into();
        check_issuer(&issuer)?;
        Ok(Self { issuer, keys: RwLock::new(Arc::new(keys.into())), claims: None })
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the keys, from the next signature on.
    ///
    /// ```
    /// # use oauth_storage::jwt::{IdTokenSigner, SigningKey};
    /// # let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate()?)?;
    /// let next = SigningKey::generate()?;
    /// signer.update_keys(|keys| keys.with_next(next));
    /// // When every client has fetched the new JWK set:
    /// let old = signer.keys().active(None).map(|key| key.kid().to_owned()).unwrap();
    /// signer.update_keys(|keys| keys.rotate());
    /// // When the last token of the old key has expired:
    /// signer.update_keys(|keys| keys.without_key(&old));
    /// assert_eq!(signer.jwk_set().keys.len(), 1);
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    pub fn update_keys(&self, update: impl FnOnce(SigningKeys) -> SigningKeys) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Arc::new(update(SigningKeys::clone(&keys)));
    }

    /// Adds the application's own claims, such as `email` if the scope `email` was granted (OpenID
    /// Connect Core 5.1). A second call replaces the first.
    ///
    /// The function runs for every token and must not block. If claims need I/O, fetch them first
    /// and call [`IdTokenSigner::sign`]. The signer's own claims (`iss`, `sub`, `aud`, `exp`,
    /// `iat`, `auth_time`, `nonce`, `acr`, `amr`, `at_hash`, `c_hash` and `sid`) are removed from the
    /// result.
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

    /// Returns the keys that verify the signer's tokens: [`SigningKeys::jwk_set`].
    #[must_use]
    pub fn jwk_set(&self) -> JwkSet {
        self.keys().jwk_set()
    }

    /// Signs an ID token with the given application claims instead of those of
    /// [`IdTokenSigner::with_claims`]. The signer's own claims are removed from them as well.
    ///
    /// `iat` is this machine's time in whole seconds. `exp` is `iat` plus
    /// `request.settings.id_token_expires_in`, rounded up to whole seconds. `aud` is the client
    /// alone, so there is no `azp`. Signing takes about a tenth of a millisecond with ES256 and about
    /// one millisecond with RS256, and does not block.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `id_token_signed_response_alg` if there is no active key of the
    /// asked [`signing_alg`](NewIdToken::signing_alg). Refuse such a client at its registration; see
    /// [`SigningKeys::algorithms`].
    ///
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid; with
    /// [`InvalidReason::Missing`] if there is no `subject`, or if an ID token from the
    /// authorization endpoint lacks the required `nonce`, `access_token` or `code` (OpenID Connect Core
    /// 3.2.2.10, 3.3.2.11).
    pub fn sign(
        &self,
        request: &RequestContext,
        id_token: &NewIdToken<'_>,
        claims: Map<String, Value>,
    ) -> Result<String> {
        // Not the database's clock, because the client compares with its own.
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
            .with_sid(id_token.sid.map(str::to_owned))
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
            ("sid", context.sid),
        ] {
            if let Some(value) = value {
                insert(name, Value::String(value));
            }
        }

        self.sign_claims("JWT", id_token.signing_alg, &Value::Object(claims))
    }

    /// Signs claims as a JWS of a type.
    fn sign_claims(
        &self,
        typ: &str,
        signing_alg: Option<SigningAlgorithm>,
        claims: &Value,
    ) -> Result<String> {
        let keys = self.keys();
        let unsupported =
            Error::invalid("id_token_signed_response_alg", InvalidReason::Unsupported);
        let key = keys.active(signing_alg).ok_or(unsupported)?;
        let header = json!({ "alg": key.algorithm(), "typ": typ, "kid": key.kid() }).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        let input = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes())?);
        Ok(format!("{input}.{signature}"))
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

    async fn verify_id_token_hint(&self, id_token_hint: &str) -> Result<Option<IdTokenHint>> {
        Ok(hint::verify(&self.keys(), &self.issuer, id_token_hint))
    }
}

impl fmt::Debug for IdTokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdTokenSigner")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

/// Computes `at_hash` or `c_hash` (OpenID Connect Core 3.1.3.6, 3.3.2.11): the left half of the
/// SHA-256, the hash of ES256 and RS256.
fn left_half_hash(secret: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(&secret.digest().as_bytes()[..16])
}

/// Checks that an ID token sent through the browser has the nonce and the hash that bind it (OpenID
/// Connect Core 3.2.2.10, 3.3.2.11). Without them a client could not detect an injected token.
fn check_front_channel(id_token: &NewIdToken<'_>) -> Result<()> {
    let asked = id_token.response_type;
    if id_token.from_token_endpoint {
        return Ok(());
    }
    if !asked.has_id_token() {
        return Err(Error::invalid("response_type", InvalidReason::NotAllowed));
    }
    for (field, is_missing) in [
        ("nonce", id_token.nonce.is_none()),
        ("access_token", asked.has_token() && id_token.access_token.is_none()),
        ("code", asked.has_code() && id_token.code.is_none()),
    ] {
        if is_missing {
            return Err(Error::invalid(field, InvalidReason::Missing));
        }
    }
    Ok(())
}

/// Checks an issuer identifier (OpenID Connect Core 2, RFC 8414 2). It is never rewritten, because
/// clients compare it byte by byte.
fn check_issuer(issuer: &str) -> Result<()> {
    let invalid = |reason| Err(Error::invalid("issuer", reason));
    check_text("issuer", issuer, MAX_ISSUER_BYTES)?;
    // A URL parser would rewrite these characters, which RFC 3986 does not allow.
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
            // `HTTPS://host`, or `https:host`, which a URL parser reads as `https://host`.
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
