//! The keys: the one that signs, and what is published of it.

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
/// `Debug` shows the key identifier only, and the key's memory is wiped on drop.
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
    /// A new key from the operating system's randomness.
    ///
    /// A server has to keep it, or no token of its past verifies after a restart:
    /// [`SigningKey::to_pkcs8_pem`].
    ///
    /// # Errors
    /// [`Error::Configuration`] when the operating system gives no randomness.
    pub fn generate() -> Result<Self> {
        let key = p256::SecretKey::try_generate()
            .map_err(configuration("the operating system gave no randomness"))?;
        Ok(Self::from_secret_key(&key))
    }

    /// Reads a key from the PEM form of PKCS #8 (RFC 5958, RFC 7468 10), not encrypted: what
    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` writes. White space around
    /// it does not matter.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is anything else. No part of the text is in the error.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self> {
        let key = p256::SecretKey::from_pkcs8_pem(pem.trim()).map_err(configuration(
            "the signing key is not a P-256 key in PKCS #8 PEM form, unencrypted; \
             `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` writes one, \
             `openssl pkcs8 -topk8 -nocrypt` converts to one",
        ))?;
        Ok(Self::from_secret_key(&key))
    }

    /// The key in the PEM form of PKCS #8, not encrypted: store it as the secret it is.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it cannot be encoded, which no P-256 key is known for.
    pub fn to_pkcs8_pem(&self) -> Result<Secret> {
        let pem = p256::SecretKey::from(&self.private)
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(configuration("the signing key cannot be encoded"))?;
        Ok(Secret::new(pem.as_str()))
    }

    /// The public key, with which others verify its signatures.
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

    /// The signature in the form of RFC 7518 3.4, R and S side by side. It is a function of key
    /// and message (RFC 6979), so no lack of randomness can give the key away.
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
/// It is all that has to be kept of a key that signs no more.
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
    /// Reads a key from the PEM form of a SubjectPublicKeyInfo (RFC 5480, RFC 7468 13), what
    /// `openssl pkey -pubout` writes. White space around it does not matter.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is anything else, or no point of the curve.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = p256::PublicKey::from_public_key_pem(pem.trim()).map_err(configuration(
            "the public key is not a P-256 key in PEM form; `openssl pkey -pubout` writes one",
        ))?;
        Ok(Self::new(key))
    }

    /// The key in the PEM form of a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it cannot be encoded, which no P-256 key is known for.
    pub fn to_pem(&self) -> Result<String> {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .map_err(configuration("the public key cannot be encoded"))
    }

    /// The key identifier: the SHA-256 thumbprint of the JWK, in base64url (RFC 7638).
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

/// An [`Error::Configuration`] of a library's error, whose messages name no content.
fn configuration<E>(message: &'static str) -> impl FnOnce(E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| Error::Configuration { message: message.to_owned(), source: Some(Box::new(error)) }
}
