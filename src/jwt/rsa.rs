//! RSA keys for RS256 (RFC 7518 3.3), with the feature `jwt-rs256`.
//!
//! The signatures are AWS-LC's, whose RSA takes constant time. The crate `rsa` has a known timing
//! fault up to version 0.9 (RUSTSEC-2023-0071).

use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{self, Decode as _, Reader as _, SliceReader};
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use p256::pkcs8::{Document, LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};

use super::key::configuration;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// rsaEncryption (RFC 8017 C).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A public key: modulus and exponent, big-endian without leading zeros, and the encoded key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) n: Vec<u8>,
    pub(super) e: Vec<u8>,
    document: Document,
}

impl PublicKey {
    /// Returns `None` if the text is not an RSA key.
    pub(super) fn from_pem(pem: &str) -> Result<Option<Self>> {
        let Ok((_, document)) = Document::from_pem(pem) else { return Ok(None) };
        let Ok(info) = SubjectPublicKeyInfoRef::from_der(document.as_bytes()) else {
            return Ok(None);
        };
        if info.algorithm.oid != RSA {
            return Ok(None);
        }
        needs_feature()?;
        Self::from_document(document.clone()).map(Some).map_err(configuration(
            "the public key is not an RSA key in PEM; `openssl pkey -pubout` writes one",
        ))
    }

    fn from_document(document: Document) -> der::Result<Self> {
        let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes())?;
        // RSAPublicKey (RFC 8017 A.1.1).
        let mut reader = SliceReader::new(info.subject_public_key.raw_bytes())?;
        let (n, e) = reader.sequence(|reader| {
            let n = UintRef::decode(reader)?.as_bytes().to_vec();
            der::Result::Ok((n, UintRef::decode(reader)?.as_bytes().to_vec()))
        })?;
        reader.finish()?;
        Ok(Self { n, e, document })
    }

    pub(super) fn to_pem(&self) -> Result<String> {
        let pem = self.document.to_pem("PUBLIC KEY", LineEnding::LF);
        pem.map_err(configuration("the public key cannot be encoded"))
    }

    #[cfg(feature = "jwt-rs256")]
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
    }

    #[cfg(not(feature = "jwt-rs256"))]
    pub(super) fn verifies(&self, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

/// A key pair. It is immutable and shared, so cloning it copies no key material.
#[derive(Clone)]
pub(super) struct KeyPair {
    #[cfg(feature = "jwt-rs256")]
    pair: std::sync::Arc<aws_lc_rs::signature::RsaKeyPair>,
    document: std::sync::Arc<SecretDocument>,
}

impl KeyPair {
    #[cfg(feature = "jwt-rs256")]
    pub(super) fn generate() -> Result<Self> {
        use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
        use aws_lc_rs::rsa::KeySize;

        let pair = aws_lc_rs::signature::RsaKeyPair::generate(KeySize::Rsa2048)
            .map_err(configuration("no RSA key could be generated"))?;
        let encoded: Pkcs8V1Der<'_> =
            pair.as_der().map_err(configuration("the signing key cannot be encoded"))?;
        let document = SecretDocument::try_from(encoded.as_ref())
            .map_err(configuration("the signing key cannot be encoded"))?;
        Ok(Self { pair: pair.into(), document: document.into() })
    }

    #[cfg(not(feature = "jwt-rs256"))]
    pub(super) fn generate() -> Result<Self> {
        Err(no_feature())
    }

    /// Returns `None` if the text is not an RSA key.
    pub(super) fn from_pkcs8_pem(pem: &str) -> Result<Option<Self>> {
        let Ok(("PRIVATE KEY", document)) = SecretDocument::from_pem(pem) else { return Ok(None) };
        let info = PrivateKeyInfoRef::from_der(document.as_bytes());
        if info.map_or(true, |info| info.algorithm.oid != RSA) {
            return Ok(None);
        }
        needs_feature()?;
        Self::from_document(document).map(Some)
    }

    #[cfg(feature = "jwt-rs256")]
    fn from_document(document: SecretDocument) -> Result<Self> {
        let pair = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(document.as_bytes())
            .map_err(configuration("the signing key is not an RSA key of 2048 to 8192 bits"))?;
        Ok(Self { pair: pair.into(), document: document.into() })
    }

    #[cfg(not(feature = "jwt-rs256"))]
    fn from_document(document: SecretDocument) -> Result<Self> {
        Ok(Self { document: document.into() })
    }

    pub(super) fn to_pkcs8_pem(&self) -> Result<Secret> {
        let pem = self.document.to_pem("PRIVATE KEY", LineEnding::LF);
        pem.map(|pem| Secret::new(pem.as_str()))
            .map_err(configuration("the signing key cannot be encoded"))
    }

    #[cfg(feature = "jwt-rs256")]
    pub(super) fn public_key(&self) -> Result<PublicKey> {
        use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
        use aws_lc_rs::signature::KeyPair as _;

        let encoded: PublicKeyX509Der<'_> = self
            .pair
            .public_key()
            .as_der()
            .map_err(configuration("the public key cannot be encoded"))?;
        Document::try_from(encoded.as_ref())
            .and_then(PublicKey::from_document)
            .map_err(configuration("the public key cannot be read"))
    }

    #[cfg(not(feature = "jwt-rs256"))]
    pub(super) fn public_key(&self) -> Result<PublicKey> {
        Err(no_feature())
    }

    #[cfg(feature = "jwt-rs256")]
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::signature::RSA_PKCS1_SHA256;

        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(configuration("the signing key cannot sign"))?;
        Ok(signature)
    }

    #[cfg(not(feature = "jwt-rs256"))]
    pub(super) fn sign(&self, _message: &[u8]) -> Result<Vec<u8>> {
        Err(no_feature())
    }
}

fn needs_feature() -> Result<()> {
    if cfg!(feature = "jwt-rs256") { Ok(()) } else { Err(no_feature()) }
}

fn no_feature() -> Error {
    Error::configuration("RSA keys need the feature `jwt-rs256` of oauth-storage")
}
