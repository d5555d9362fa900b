//! Signing keys of ID tokens, as a storage keeps them: with encrypted private halves.
//!
//! `jwt::ManagedKeys` (feature `jwt`) encrypts, rotates and loads them. A storage sees ciphertext only.

mod storage;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::storage::SigningKeyStorage;
use crate::check::{MAX_IDENTIFIER_BYTES, MAX_TEXT_BYTES, check_text};
use crate::error::{Error, InvalidReason, Result};
use crate::id_token::SigningAlgorithm;
use crate::settings::MAX_LIFETIME;

/// The maximum length of an encrypted key, in bytes. An RSA key of 8192 bits has 6.4 KiB.
const MAX_CIPHERTEXT_BYTES: usize = 16 * 1024;

/// The first byte of a ciphertext. A key that is not encrypted begins with another one.
pub(crate) const FORMAT: u8 = 1;

/// The state of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningKeyState {
    /// Published, so that clients know it before it signs.
    Next,
    /// The key that signs. Each issuer has at most one for each algorithm.
    Active,
    /// No longer signs, but verifies the tokens that it has signed.
    Retired,
}

/// A signing key with an encrypted private half.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedSigningKey {
    /// The issuer whose ID tokens the key signs. Each issuer has its own keys.
    pub issuer: String,
    /// The key identifier.
    pub kid: String,
    /// The algorithm of the signatures.
    pub algorithm: SigningAlgorithm,
    /// The identifier of the key that the private half is encrypted under.
    pub encryption_key_id: String,
    /// The version of its format, 1, and the encrypted private half.
    pub ciphertext: Vec<u8>,
}

impl SealedSigningKey {
    /// A key for an issuer.
    pub fn new(
        issuer: impl Into<String>,
        kid: impl Into<String>,
        algorithm: SigningAlgorithm,
        encryption_key_id: impl Into<String>,
        ciphertext: Vec<u8>,
    ) -> Self {
        let (issuer, kid) = (issuer.into(), kid.into());
        Self { issuer, kid, algorithm, encryption_key_id: encryption_key_id.into(), ciphertext }
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid; with `ciphertext` and
    /// [`InvalidReason::Unsupported`] if it does not begin with the version, as a key that is not encrypted.
    pub fn check(&self) -> Result<()> {
        check_issuer(&self.issuer)?;
        check_text("kid", &self.kid, MAX_IDENTIFIER_BYTES)?;
        check_text("encryption_key_id", &self.encryption_key_id, MAX_IDENTIFIER_BYTES)?;
        let reason = match self.ciphertext.first() {
            None => InvalidReason::Empty,
            Some(_) if self.ciphertext.len() > MAX_CIPHERTEXT_BYTES => {
                InvalidReason::TooLong(MAX_CIPHERTEXT_BYTES)
            }
            Some(&FORMAT) => return Ok(()),
            Some(_) => InvalidReason::Unsupported,
        };
        Err(Error::invalid("ciphertext", reason))
    }
}

/// Omits the ciphertext.
impl fmt::Debug for SealedSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSigningKey")
            .field("issuer", &self.issuer)
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("encryption_key_id", &self.encryption_key_id)
            .finish_non_exhaustive()
    }
}

/// Checks the issuer of signing keys. For storage implementations.
///
/// # Errors
/// Returns [`Error::Invalid`] with `issuer` if it is refused.
pub fn check_issuer(issuer: &str) -> Result<()> {
    check_text("issuer", issuer, MAX_TEXT_BYTES)
}

/// A stored signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSigningKey {
    /// The key.
    pub key: SealedSigningKey,
    /// Its state.
    pub state: SigningKeyState,
    /// Time at which it was stored, and so published.
    pub created_at: DateTime<Utc>,
    /// Time from which it signs; `None` while it is next.
    pub activated_at: Option<DateTime<Utc>>,
    /// Time at which another key became active; `None` before.
    pub retired_at: Option<DateTime<Utc>>,
    /// Time at which a retired key leaves the JWK set.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The schedule of a rotation. All nodes of an issuer should have the same one.
///
/// ```
/// use std::time::Duration;
/// use oauth_storage::signing_key::KeySchedule;
///
/// let day = Duration::from_hours(24);
/// let schedule = KeySchedule::default();
/// assert_eq!(schedule.period, 90 * day);
/// assert_eq!([schedule.announcement, schedule.retention], [day; 2]);
/// assert_eq!(schedule.with_period(30 * day).period, 30 * day);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySchedule {
    /// The time for which a key signs. 90 days by default, at least a microsecond.
    pub period: Duration,
    /// The time for which a key is published before it signs, even if the period is shorter. A day by default.
    ///
    /// It must be longer than the time until a client or a cache fetches the JWK set again (the `max-age` of
    /// `/jwks`), and twice as long as the time after which a node loads the keys again.
    pub announcement: Duration,
    /// The longest lifetime of an ID token ([`Settings::id_token_expires_in`](crate::Settings)). A day by
    /// default. A retired key is published for this time and the announcement, because a node signs with it
    /// until it loads the keys again.
    ///
    /// A hint ([`verify_id_token_hint`](crate::IdTokenStorage::verify_id_token_hint)) is accepted for as long.
    pub retention: Duration,
}

impl Default for KeySchedule {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { period: 90 * day, announcement: day, retention: day }
    }
}

impl KeySchedule {
    setters! {
        /// Sets the time for which a key signs.
        with_period(period: Duration) => period;
        /// Sets the time for which a key is published before it signs.
        with_announcement(announcement: Duration) => announcement;
        /// Sets the longest lifetime of an ID token.
        with_retention(retention: Duration) => retention;
    }

    /// Checks that each time is at most 100 years. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a time is out of range.
    pub fn check(&self) -> Result<()> {
        let microsecond = Duration::from_micros(1);
        for (field, time, least) in [
            ("period", self.period, microsecond),
            ("announcement", self.announcement, Duration::ZERO),
            ("retention", self.retention, Duration::ZERO),
        ] {
            if time < least || time > MAX_LIFETIME {
                return Err(Error::invalid(field, InvalidReason::OutOfRange));
            }
        }
        Ok(())
    }
}

/// The outcome of a step of the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum KeyRotationOutcome {
    /// A key was stored and is active, because there was none.
    Created,
    /// A key was stored and is next.
    Announced,
    /// The next key became active, and the active one was retired.
    Rotated,
    /// Nothing was changed.
    NotDue {
        /// Time at which the next key becomes active; `None` if there is no next key or the call does not
        /// know it.
        due_at: Option<DateTime<Utc>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plaintext_key_is_refused() {
        let check = |ciphertext: &[u8]| {
            let issuer = "https://issuer.example";
            let algorithm = SigningAlgorithm::ES256;
            match SealedSigningKey::new(issuer, "k", algorithm, "e", ciphertext.to_vec()).check() {
                Err(Error::Invalid { field: "ciphertext", reason }) => Some(reason),
                other => other.map(|()| None).unwrap(),
            }
        };
        assert_eq!(check(&[FORMAT, 0]), None);
        assert_eq!(check(b""), Some(InvalidReason::Empty));
        assert_eq!(check(b"-----BEGIN PRIVATE KEY-----"), Some(InvalidReason::Unsupported));
        assert_eq!(check(&[0x30, 0x81, 0x87]), Some(InvalidReason::Unsupported));
        let long = vec![FORMAT; MAX_CIPHERTEXT_BYTES + 1];
        assert_eq!(check(&long), Some(InvalidReason::TooLong(MAX_CIPHERTEXT_BYTES)));
    }
}
