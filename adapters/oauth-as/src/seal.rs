//! Values that must come back as they were: encrypted under the key of the application.

use std::fmt;
use std::str::FromStr;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use oauth_as::StorageError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::digest::uuid;
use crate::error;

/// The length of the nonce before the ciphertext.
const NONCE_BYTES: usize = 24;

/// The key that seals what a digest cannot replace, see [the threats](crate#secrets-at-rest).
///
/// Every node has the same key, and it is not stored in the database. `Debug` does not print it, and the
/// memory is wiped on drop.
///
/// ```
/// use oauth_storage_oauth_as::SealingKey;
///
/// // openssl rand -hex 32
/// let key: SealingKey =
///     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".parse()?;
/// assert_eq!(format!("{key:?}"), "SealingKey(..)");
/// # Ok::<(), oauth_as::StorageError>(())
/// ```
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// A key of 32 random bytes, from a secret manager for example.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Generates a key, for a test: what it sealed is lost with the process.
    ///
    /// # Errors
    /// Fails if the operating system provides no randomness.
    pub fn generate() -> Result<Self, StorageError> {
        let mut key = Self::from_bytes([0; 32]);
        getrandom::fill(key.0.as_mut_slice()).map_err(|_| error::no_randomness())?;
        Ok(key)
    }

    /// HMAC-SHA256 of a purpose and a text.
    fn mac(&self, purpose: Purpose, text: &str) -> Result<Zeroizing<[u8; 32]>, StorageError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .map_err(|_| StorageError::new("the sealing key has the wrong length"))?;
        mac.update(purpose.label());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    fn cipher(&self, purpose: Purpose, bearer: &str) -> Result<XChaCha20Poly1305, StorageError> {
        let key = self.mac(purpose, bearer)?;
        XChaCha20Poly1305::new_from_slice(key.as_slice())
            .map_err(|_| StorageError::new("the sealing key has the wrong length"))
    }
}

/// Parses 64 hexadecimal digits, the output of `openssl rand -hex 32`.
impl FromStr for SealingKey {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let malformed = || StorageError::new("a sealing key is 64 hexadecimal digits");
        let digits = text.trim().as_bytes();
        if digits.len() != 64 {
            return Err(malformed());
        }
        let mut key = Self::from_bytes([0; 32]);
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(malformed);
            let value = digit(pair[0])? * 16 + digit(pair[1])?;
            *byte = u8::try_from(value).map_err(|_| malformed())?;
        }
        Ok(key)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// The kind of a sealed value. A value that was sealed as one kind cannot be opened as another.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The authentication of a client.
    Client,
    /// The two codes of a device grant.
    DeviceCodes,
    /// The keyed hash of a user code.
    UserCode,
    /// The tokens that an authorization code minted.
    CodeState,
    /// The token response that is kept for a retry.
    RefreshRetry,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"oauth_as client",
            Self::DeviceCodes => b"oauth_as device codes",
            Self::UserCode => b"oauth_as user code",
            Self::CodeState => b"oauth_as code state",
            Self::RefreshRetry => b"oauth_as refresh retry",
        }
    }
}

/// The keys of a storage.
#[derive(Clone)]
pub(crate) struct Keys {
    current: SealingKey,
    previous: Vec<SealingKey>,
}

impl Keys {
    pub(crate) const fn new(current: SealingKey) -> Self {
        Self { current, previous: Vec::new() }
    }

    pub(crate) fn add_previous(&mut self, key: SealingKey) {
        self.previous.push(key);
    }

    /// Seals a value for the row of this key. With a bearer, which is the credential that finds the row,
    /// opening needs that credential as well as the sealing key; the empty text stands for none.
    pub(crate) fn seal<T: Serialize>(
        &self,
        purpose: Purpose,
        bearer: &str,
        row: Uuid,
        value: &T,
    ) -> Result<Vec<u8>, StorageError> {
        let text =
            Zeroizing::new(serde_json::to_vec(value).map_err(|error| error::encode(&error))?);
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| error::no_randomness())?;
        let payload = Payload { msg: &text, aad: row.as_bytes() };
        let sealed = self
            .current
            .cipher(purpose, bearer)?
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| StorageError::new("a value is too long to be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`seal`](Self::seal) returned, under the key of the time.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        bearer: &str,
        row: Uuid,
        sealed: &[u8],
    ) -> Result<T, StorageError> {
        let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_BYTES>() else {
            return Err(StorageError::new("a sealed value is too short"));
        };
        for key in [&self.current].into_iter().chain(&self.previous) {
            let payload = Payload { msg: sealed, aad: row.as_bytes() };
            let opened = key.cipher(purpose, bearer)?.decrypt(&XNonce::from(*nonce), payload);
            if let Ok(text) = opened.map(Zeroizing::new) {
                return serde_json::from_slice(&text).map_err(|error| error::decode(&error));
            }
        }
        Err(StorageError::new(
            "a value was sealed under another key; pass the earlier key to `with_previous_key`",
        ))
    }

    /// The keyed hash of a normalized user code under the current key.
    pub(crate) fn user_code(&self, normalized: &str) -> Result<Uuid, StorageError> {
        Ok(uuid(self.current.mac(Purpose::UserCode, normalized)?.as_slice()))
    }

    /// Its hashes under all keys.
    pub(crate) fn user_codes(&self, normalized: &str) -> Result<Vec<Uuid>, StorageError> {
        [&self.current]
            .into_iter()
            .chain(&self.previous)
            .map(|key| Ok(uuid(key.mac(Purpose::UserCode, normalized)?.as_slice())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(SealingKey::from_bytes([7; 32]))
    }

    #[test]
    fn a_value_opens_only_for_its_key_purpose_bearer_and_row() {
        let (row, text) = (Uuid::from_bytes([1; 16]), "the value".to_owned());
        let sealed = keys().seal(Purpose::CodeState, "code", row, &text).unwrap();
        let open = |keys: &Keys, purpose, bearer, row, sealed: &[u8]| {
            keys.open::<String>(purpose, bearer, row, sealed)
        };
        assert_eq!(open(&keys(), Purpose::CodeState, "code", row, &sealed), Ok(text.clone()));
        assert!(!sealed.windows(9).any(|bytes| bytes == text.as_bytes()));
        assert_ne!(sealed, keys().seal(Purpose::CodeState, "code", row, &text).unwrap());

        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        let mut other = Keys::new(SealingKey::from_bytes([8; 32]));
        for wrong in [
            open(&keys(), Purpose::RefreshRetry, "code", row, &sealed),
            open(&keys(), Purpose::CodeState, "", row, &sealed),
            open(&keys(), Purpose::CodeState, "code", Uuid::nil(), &sealed),
            open(&keys(), Purpose::CodeState, "code", row, &changed),
            open(&keys(), Purpose::CodeState, "code", row, &sealed[..10]),
            open(&other, Purpose::CodeState, "code", row, &sealed),
        ] {
            wrong.unwrap_err();
        }
        other.add_previous(SealingKey::from_bytes([7; 32]));
        assert_eq!(open(&other, Purpose::CodeState, "code", row, &sealed), Ok(text));
    }

    #[test]
    fn a_user_code_has_a_hash_of_each_key() {
        let mut other = Keys::new(SealingKey::from_bytes([8; 32]));
        other.add_previous(SealingKey::from_bytes([7; 32]));
        let hash = keys().user_code("WDJBMJHT").unwrap();
        assert_ne!(other.user_code("WDJBMJHT").unwrap(), hash);
        assert!(other.user_codes("WDJBMJHT").unwrap().contains(&hash));
        assert_ne!(keys().user_code("WDJBMJHS").unwrap(), hash);
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        let digits = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
        let key: SealingKey = digits.parse().unwrap();
        assert_eq!((key.0[1], key.0[31]), (1, 0x1f));
        for wrong in ["", &digits[1..], &digits.replace("1F", "1G"), &digits.replace("00", "é")] {
            let error = wrong.parse::<SealingKey>().unwrap_err();
            assert!(!error.0.contains("0102"), "{error}");
        }
        assert_ne!(SealingKey::generate().unwrap().0, SealingKey::generate().unwrap().0);
    }
}
