//! Signing keys and their public halves.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer as _;
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    LineEnding,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::secret::Secret;

/// A private key for ES256: ECDSA on the curve P-256, with SHA-256 (RFC 7518 3.4).
///
/// `Debug` shows only the key identifier. The key's memory is wiped on drop.
///
/// ```
/// use oauth_storage::jwt::SigningKey;
///
/// let key = SigningKey::generate()?;
/// let pem = key.to_pkcs8_pem()?;
/// assert_eq!(SigningKey::from_pkcs8_pem(pem.expose())?.kid(), key.kid());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Clone)]
pub struct SigningKey {
    private: p256::ecdsa::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    /// Generates a key from the operating system's randomness.
    ///
    /// Store it with [`SigningKey::to_pkcs8_pem`]. Otherwise no earlier token verifies after a
    /// restart.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate() -> Result<Self> {
        let key = p256::SecretKey::try_generate()
            .map_err(configuration("the operating system provided no randomness"))?;
        Ok(Self::from_secret_key(&key))
    }

    /// Reads an unencrypted key in PKCS #8 PEM (RFC 5958, RFC 7468 10), as written by
    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`. Surrounding white space is
    /// ignored.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the text is anything else. The error contains no part of
    /// it.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self> {
        let key = p256::SecretKey::from_pkcs8_pem(pem.trim()).map_err(configuration(
            "the signing key is not an unencrypted P-256 key in PKCS #8 PEM; \
             `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` writes one, \
             `openssl pkcs8 -topk8 -nocrypt` converts to one",
        ))?;
        Ok(Self::from_secret_key(&key))
    }

    /// Returns the key in PKCS #8 PEM, unencrypted. Store it as a secret.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the key cannot be encoded, which is not known to happen.
    pub fn to_pkcs8_pem(&self) -> Result<Secret> {
        let pem = p256::SecretKey::from(&self.private)
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(configuration("the signing key cannot be encoded"))?;
        Ok(Secret::new(pem.as_str()))
    }

    /// The public key, which verifies the signatures.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The key identifier, see [`PublicKey::kid`].
    #[must_use]
    pub fn kid(&self) -> &str {
        self.public.kid()
    }

    fn from_secret_key(key: &p256::SecretKey) -> Self {
        Self { private: key.into(), public: PublicKey::new(key.public_key()) }
    }

    /// Signs a message and returns R and S side by side (RFC 7518 3.4). The signature is
    /// deterministic (RFC 6979), so weak randomness cannot reveal the key.
    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        let signature: Signature =
            self.private.try_sign(message).map_err(configuration("the signing key cannot sign"))?;
        Ok(signature.to_bytes().into())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

/// The public half of a [`SigningKey`]; it serializes as a JWK (RFC 7517 4, RFC 7518 6.2.1) with
/// `kty`, `crv`, `x`, `y`, `use`, `alg` and `kid`.
///
/// Of a retired key only this has to be kept.
///
/// ```
/// use oauth_storage::jwt::{IdTokenSigner, PublicKey, SigningKey};
///
/// let retired = SigningKey::generate()?.public_key().to_pem()?;
///
/// let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate()?)?
///     .with_published_key(PublicKey::from_pem(&retired)?);
/// assert_eq!(signer.jwk_set().keys.len(), 2);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    #[serde(skip)]
    key: p256::PublicKey,
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
}

impl PublicKey {
    /// Reads a key in SubjectPublicKeyInfo PEM (RFC 5480, RFC 7468 13), as written by
    /// `openssl pkey -pubout`. Surrounding white space is ignored.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the text is anything else, or not a point of the curve.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = p256::PublicKey::from_public_key_pem(pem.trim()).map_err(configuration(
            "the public key is not a P-256 key in PEM; `openssl pkey -pubout` writes one",
        ))?;
        Ok(Self::new(key))
    }

    /// Returns the key in SubjectPublicKeyInfo PEM.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the key cannot be encoded, which is not known to happen.
    pub fn to_pem(&self) -> Result<String> {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .map_err(configuration("the public key cannot be encoded"))
    }

    /// The key identifier: the SHA-256 thumbprint of the JWK in base64url (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    fn new(key: p256::PublicKey) -> Self {
        let point = key.to_sec1_point(false);
        // 0x04, then the two coordinates, 32 bytes each (SEC 1 2.3.3).
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let (kty, crv) = ("EC", "P-256");
        // The required members, in lexicographic order, without white space (RFC 7638 3.2, 3.3).
        let members = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
        Self { key, kty, crv, x, y, usage: "sig", alg: "ES256", kid }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Wraps a library's error, whose message contains no key material, in an [`Error::Configuration`].
fn configuration<E>(message: &'static str) -> impl FnOnce(E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| Error::Configuration { message: message.to_owned(), source: Some(Box::new(error)) }
}
