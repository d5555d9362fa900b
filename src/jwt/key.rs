//! Signing keys and their public halves.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    LineEnding,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::rsa;
use crate::error::{Error, Result};
use crate::id_token::SigningAlgorithm;
use crate::secret::Secret;

/// A private key: for ES256, ECDSA on the curve P-256 (RFC 7518 3.4), or for RS256, RSA of at least
/// 2048 bits (RFC 7518 3.3), which needs the feature `jwt-rs256`.
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
    private: Private,
    public: PublicKey,
}

#[derive(Clone)]
enum Private {
    Es256(p256::ecdsa::SigningKey),
    Rs256(rsa::KeyPair),
}

impl SigningKey {
    /// Generates a key for ES256 from the operating system's randomness.
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

    /// Generates a key for an algorithm from the operating system's randomness: for RS256 of 2048 bits, which
    /// takes a part of a second.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness, or for RS256 without
    /// the feature `jwt-rs256`.
    pub fn generate_for(algorithm: SigningAlgorithm) -> Result<Self> {
        match algorithm {
            SigningAlgorithm::ES256 => Self::generate(),
            SigningAlgorithm::RS256 => Self::from_rsa(rsa::KeyPair::generate()?),
        }
    }

    /// Reads an unencrypted key in PKCS #8 PEM (RFC 5958, RFC 7468 10), as written by
    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` for ES256 and by
    /// `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048` for RS256. Surrounding white
    /// space is ignored.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the text is anything else, or an RSA key without the
    /// feature `jwt-rs256`. The error contains no part of it.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self> {
        let pem = pem.trim();
        if let Some(pair) = rsa::KeyPair::from_pkcs8_pem(pem)? {
            return Self::from_rsa(pair);
        }
        let key = p256::SecretKey::from_pkcs8_pem(pem).map_err(configuration(
            "the signing key is not an unencrypted P-256 or RSA key in PKCS #8 PEM; \
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
        let key = match &self.private {
            Private::Es256(key) => key,
            Private::Rs256(pair) => return pair.to_pkcs8_pem(),
        };
        let pem = p256::SecretKey::from(key)
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

    /// The algorithm of its signatures.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.public.alg
    }

    fn from_rsa(pair: rsa::KeyPair) -> Result<Self> {
        let public = PublicKey::from_rsa(pair.public_key()?);
        Ok(Self { private: Private::Rs256(pair), public })
    }

    fn from_secret_key(key: &p256::SecretKey) -> Self {
        Self { private: Private::Es256(key.into()), public: PublicKey::new(key.public_key()) }
    }

    /// Signs a message. For ES256 the signature is R and S side by side (RFC 7518 3.4), and
    /// deterministic (RFC 6979), so weak randomness cannot reveal the key. For RS256 it is that of
    /// RSASSA-PKCS1-v1_5, deterministic as well.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.private {
            Private::Es256(key) => {
                let signature: Signature =
                    key.try_sign(message).map_err(configuration("the signing key cannot sign"))?;
                Ok(signature.to_bytes().to_vec())
            }
            Private::Rs256(pair) => pair.sign(message),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

/// The public half of a [`SigningKey`]; it serializes as a JWK (RFC 7517 4, RFC 7518 6.2.1, 6.3.1)
/// with `kty`, the parameters of the key, `use`, `alg` and `kid`.
///
/// Of a retired key only this has to be kept.
///
/// ```
/// use oauth_storage::jwt::{IdTokenSigner, PublicKey, SigningKey, SigningKeys};
///
/// let retired = SigningKey::generate()?.public_key().to_pem()?;
///
/// let keys = SigningKeys::new(SigningKey::generate()?).with_retired(PublicKey::from_pem(&retired)?);
/// let signer = IdTokenSigner::new("https://issuer.example", keys)?;
/// assert_eq!(signer.jwk_set().keys.len(), 2);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    #[serde(skip)]
    key: Key,
    #[serde(flatten)]
    parameters: Parameters,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: SigningAlgorithm,
    kid: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Es256(p256::PublicKey),
    Rs256(rsa::PublicKey),
}

/// The members of a JWK that define the key.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kty")]
enum Parameters {
    #[serde(rename = "EC")]
    Ec { crv: &'static str, x: String, y: String },
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

impl Parameters {
    /// The SHA-256 thumbprint (RFC 7638): of the required members, in lexicographic order, without
    /// white space.
    fn thumbprint(&self) -> String {
        let members = match self {
            Self::Ec { crv, x, y } => {
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(Sha256::digest(members))
    }
}

impl PublicKey {
    /// Reads a key in SubjectPublicKeyInfo PEM (RFC 5480, RFC 7468 13), as written by
    /// `openssl pkey -pubout`. Surrounding white space is ignored.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the text is anything else, not a point of the curve, or
    /// an RSA key without the feature `jwt-rs256`.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let pem = pem.trim();
        if let Some(key) = rsa::PublicKey::from_pem(pem)? {
            return Ok(Self::from_rsa(key));
        }
        let key = p256::PublicKey::from_public_key_pem(pem).map_err(configuration(
            "the public key is not a P-256 or RSA key in PEM; `openssl pkey -pubout` writes one",
        ))?;
        Ok(Self::new(key))
    }

    /// Returns the key in SubjectPublicKeyInfo PEM.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the key cannot be encoded, which is not known to happen.
    pub fn to_pem(&self) -> Result<String> {
        match &self.key {
            Key::Es256(key) => key
                .to_public_key_pem(LineEnding::LF)
                .map_err(configuration("the public key cannot be encoded")),
            Key::Rs256(key) => key.to_pem(),
        }
    }

    /// The key identifier: the SHA-256 thumbprint of the JWK in base64url (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm of the signatures that it verifies.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.alg
    }

    fn new(key: p256::PublicKey) -> Self {
        let point = key.to_sec1_point(false);
        // 0x04, then the two coordinates, 32 bytes each (SEC 1 2.3.3).
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let parameters = Parameters::Ec { crv: "P-256", x, y };
        Self::with_parameters(Key::Es256(key), parameters, SigningAlgorithm::ES256)
    }

    fn from_rsa(key: rsa::PublicKey) -> Self {
        let (n, e) = (URL_SAFE_NO_PAD.encode(&key.n), URL_SAFE_NO_PAD.encode(&key.e));
        Self::with_parameters(Key::Rs256(key), Parameters::Rsa { n, e }, SigningAlgorithm::RS256)
    }

    fn with_parameters(key: Key, parameters: Parameters, alg: SigningAlgorithm) -> Self {
        let kid = parameters.thumbprint();
        Self { key, parameters, usage: "sig", alg, kid }
    }

    /// Returns true if this key's private half signed the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Es256(key) => Signature::from_slice(signature).is_ok_and(|signature| {
                p256::ecdsa::VerifyingKey::from(key).verify(message, &signature).is_ok()
            }),
            Key::Rs256(key) => key.verifies(message, signature),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Wraps a library's error, whose message contains no key material, in an [`Error::Configuration`].
pub(super) fn configuration<E>(message: &'static str) -> impl FnOnce(E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| Error::Configuration { message: message.to_owned(), source: Some(Box::new(error)) }
}
