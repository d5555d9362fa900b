//! Encryption of signing keys at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::key::SigningKey;
use crate::error::{Error, Result};
use crate::secret::{Secret, random_bytes};
use crate::signing_key::{FORMAT, SealedSigningKey};

/// The length of a nonce of XChaCha20-Poly1305.
const NONCE: usize = 24;

/// A key that encrypts signing keys: 256 random bits, which only the application has.
///
/// `Debug` shows only the identifier. The key's memory is wiped on drop.
///
/// ```
/// use oauth_storage::jwt::KeyEncryptionKey;
///
/// let key = KeyEncryptionKey::generate()?;
/// let text = key.to_base64(); // store it where only the server can read it
/// assert_eq!(KeyEncryptionKey::from_base64(text.expose())?.id(), key.id());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Clone)]
pub struct KeyEncryptionKey {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

impl KeyEncryptionKey {
    /// Generates a key from the operating system's randomness.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self::from_bytes(random_bytes()?))
    }

    /// Reads 32 random bytes in base64, as written by `openssl rand -base64 32`. Surrounding white space is
    /// ignored.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the text is anything else. The error contains no part of it.
    pub fn from_base64(text: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        // The decoder needs room for the bytes that padding stands for.
        let mut decoded = Zeroizing::new([0; 33]);
        match STANDARD.decode_slice(text.trim(), decoded.as_mut_slice()) {
            Ok(32) => bytes.copy_from_slice(&decoded[..32]),
            _ => {
                return Err(Error::configuration(
                    "the key encryption key is not 32 bytes in base64; `openssl rand -base64 32` \
                     writes one",
                ));
            }
        }
        Ok(Self::from_bytes(bytes))
    }

    /// Returns the key in base64. Store it as a secret, and not in the database.
    #[must_use]
    pub fn to_base64(&self) -> Secret {
        Secret::new(STANDARD.encode(self.key.as_slice()))
    }

    /// The identifier, which is stored with each encrypted key: 96 bits of a SHA-256 of the key. It is not
    /// secret, because nobody can guess 256 random bits by it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn from_bytes(key: Zeroizing<[u8; 32]>) -> Self {
        let digest = Sha256::new_with_prefix("oauth-storage key encryption key")
            .chain_update(key.as_slice());
        Self { id: URL_SAFE_NO_PAD.encode(&digest.finalize()[..12]), key }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(<&Key>::from(&*self.key))
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys that encrypt signing keys: a current one, and others that only decrypt.
///
/// To replace the key on several nodes: give all nodes the new one as another; make it the current one, and
/// the old one another; call [`ManagedKeys::reencrypt`](super::ManagedKeys::reencrypt); remove the old one.
///
/// ```
/// use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey};
///
/// let (old, new) = (KeyEncryptionKey::generate()?, KeyEncryptionKey::generate()?);
/// let encryption = KeyEncryption::new(new).with_other(old);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KeyEncryption {
    current: KeyEncryptionKey,
    others: Vec<KeyEncryptionKey>,
}

impl KeyEncryption {
    /// Encrypts and decrypts with one key.
    #[must_use]
    pub const fn new(current: KeyEncryptionKey) -> Self {
        Self { current, others: Vec::new() }
    }

    /// Adds a key that only decrypts.
    #[must_use]
    pub fn with_other(mut self, key: KeyEncryptionKey) -> Self {
        self.others.push(key);
        self
    }

    /// Returns true if the signing key is encrypted under the current key.
    pub(super) fn is_current(&self, sealed: &SealedSigningKey) -> bool {
        sealed.encryption_key_id == self.current.id
    }

    /// Encrypts a signing key of an issuer.
    pub(super) fn seal(&self, issuer: &str, key: &SigningKey) -> Result<SealedSigningKey> {
        let id = &self.current.id;
        let mut sealed =
            SealedSigningKey::new(issuer, key.kid(), key.algorithm(), id, vec![FORMAT]);
        let nonce: [u8; NONCE] = std::array::from_fn({
            let random = random_bytes()?;
            move |index| random[index]
        });
        let pem = key.to_pkcs8_pem()?;
        let (aad, msg) = (associated_data(&sealed), pem.expose().as_bytes());
        let encrypted =
            self.current.cipher().encrypt(&XNonce::from(nonce), Payload { msg, aad: &aad });
        let encrypted =
            encrypted.map_err(|_| Error::configuration("the signing key cannot be encrypted"))?;
        sealed.ciphertext.extend(nonce);
        sealed.ciphertext.extend(encrypted);
        Ok(sealed)
    }

    /// Decrypts a signing key. Fails unless it is the key that was encrypted for its issuer, identifier and
    /// algorithm.
    pub(super) fn open(&self, sealed: &SealedSigningKey) -> Result<SigningKey> {
        let mut keys = std::iter::once(&self.current).chain(&self.others);
        let Some(key) = keys.find(|key| key.id == sealed.encryption_key_id) else {
            return Err(Error::configuration(format!(
                "the signing key {} is encrypted under the key {}, which is not one of the key \
                 encryption keys that the application gave",
                sealed.kid, sealed.encryption_key_id,
            )));
        };
        let corrupt = |message: &str| Error::Corrupt {
            table: "oauth_storage.signing_key",
            column: "ciphertext",
            row: sealed.kid.clone(),
            message: message.to_owned(),
        };
        let changed = || corrupt("it is not what was encrypted for this issuer, kid and alg");
        let (format, rest) = sealed.ciphertext.split_first().ok_or_else(changed)?;
        if *format != FORMAT {
            return Err(corrupt("this version does not know the format"));
        }
        let (nonce, msg) = rest.split_first_chunk::<NONCE>().ok_or_else(changed)?;
        let aad = associated_data(sealed);
        let opened = key.cipher().decrypt(&XNonce::from(*nonce), Payload { msg, aad: &aad });
        let opened = Zeroizing::new(opened.map_err(|_| changed())?);
        let pem = std::str::from_utf8(&opened).map_err(|_| changed())?;
        SigningKey::from_pkcs8_pem(pem)
    }
}

/// The values that belong to a ciphertext, each preceded by its length.
fn associated_data(sealed: &SealedSigningKey) -> Vec<u8> {
    let mut data = vec![FORMAT];
    for part in [&sealed.issuer, &sealed.kid, sealed.algorithm.as_str(), &sealed.encryption_key_id]
    {
        data.extend((part.len() as u64).to_be_bytes());
        data.extend(part.as_bytes());
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id_token::SigningAlgorithm;

    const ISSUER: &str = "https://issuer.example";

    fn encryption() -> KeyEncryption {
        KeyEncryption::new(KeyEncryptionKey::generate().unwrap())
    }

    #[test]
    fn a_sealed_key_opens_and_shows_nothing() {
        let (encryption, key) = (encryption(), SigningKey::generate().unwrap());
        let [sealed, again] = [(); 2].map(|()| encryption.seal(ISSUER, &key).unwrap());
        assert_ne!(sealed.ciphertext, again.ciphertext, "each has its own nonce");
        let opened = encryption.open(&sealed).unwrap();
        assert_eq!(opened.to_pkcs8_pem().unwrap(), key.to_pkcs8_pem().unwrap());
        sealed.check().unwrap();
        let text = encryption.current.to_base64();
        let shown = format!("{encryption:?} {sealed:?}");
        assert!(!shown.contains(&text.expose()[..8]) && !shown.contains("ciphertext"), "{shown}");
    }

    #[test]
    fn every_changed_bit_and_every_exchanged_value_is_refused() {
        let (encryption, key) = (encryption(), SigningKey::generate().unwrap());
        let sealed = encryption.seal(ISSUER, &key).unwrap();
        let mut tampered = Vec::new();
        for index in 0..sealed.ciphertext.len() {
            let mut own = sealed.clone();
            own.ciphertext[index] ^= 1;
            tampered.push(own);
        }
        for length in 0..sealed.ciphertext.len() {
            let mut own = sealed.clone();
            own.ciphertext.truncate(length);
            tampered.push(own);
        }
        let other = encryption.seal(ISSUER, &SigningKey::generate().unwrap()).unwrap();
        let algorithm = SigningAlgorithm::RS256;
        tampered.extend([
            SealedSigningKey { kid: other.kid, ..sealed.clone() },
            SealedSigningKey { ciphertext: other.ciphertext, ..sealed.clone() },
            SealedSigningKey { issuer: "https://other.example".into(), ..sealed.clone() },
            SealedSigningKey { algorithm, ..sealed.clone() },
        ]);
        for own in tampered {
            let error = encryption.open(&own).unwrap_err();
            assert!(matches!(error, Error::Corrupt { column: "ciphertext", .. }), "{error}");
        }
    }

    #[test]
    fn a_wrong_key_is_named_and_another_one_opens() {
        let (old, new) = (encryption(), encryption());
        let key = SigningKey::generate().unwrap();
        let sealed = old.seal(ISSUER, &key).unwrap();
        let error = new.open(&sealed).unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
        let (id, secret) = (old.current.id(), old.current.to_base64());
        assert!(error.to_string().contains(id) && !error.to_string().contains(secret.expose()));
        let both = new.with_other(old.current);
        assert_eq!(both.open(&sealed).unwrap().kid(), key.kid());
        assert!(!both.is_current(&sealed));
        // The right identifier with another key.
        let mut forged = encryption();
        forged.current.id.clone_from(&sealed.encryption_key_id);
        assert!(matches!(forged.open(&sealed), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn a_key_encryption_key_is_32_bytes() {
        let key = KeyEncryptionKey::generate().unwrap().to_base64();
        let padded = format!("\n{}\r\n", key.expose());
        assert_eq!(KeyEncryptionKey::from_base64(&padded).unwrap().to_base64(), key);
        let short = STANDARD.encode([7; 31]);
        let long = STANDARD.encode([7; 33]);
        for text in ["", "wonderland", &short, &long, &key.expose()[..43]] {
            let error = KeyEncryptionKey::from_base64(text).unwrap_err();
            assert!(matches!(error, Error::Configuration { source: None, .. }), "{text}");
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }
}
