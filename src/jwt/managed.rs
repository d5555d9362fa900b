//! Signing keys that the storage keeps, rotated once over all nodes.

use std::fmt;

use super::encryption::KeyEncryption;
use super::{IdTokenSigner, SigningKey, SigningKeys};
use crate::error::{Error, Result};
use crate::id_token::SigningAlgorithm;
use crate::signing_key::{
    KeyRotationOutcome, KeySchedule, SigningKeyState, SigningKeyStorage, StoredSigningKey,
};

/// The signing keys of an issuer in a storage: encrypted, rotated by a schedule, loaded by every node.
///
/// Build the signer with [`signer`](Self::signer) at the start of the server, and call
/// [`update`](Self::update) every few minutes, at least twice in the
/// [`announcement`](KeySchedule::announcement). Then every node has published a key before the first node signs
/// with it, and publishes it until its last token has expired.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use oauth_storage::MemoryStorage;
/// use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let (storage, secret) = (MemoryStorage::new(), KeyEncryptionKey::generate()?.to_base64());
/// # let secret = secret.expose();
/// // From the secrets of the deployment: the output of `openssl rand -base64 32`.
/// let encryption = KeyEncryption::new(KeyEncryptionKey::from_base64(secret)?);
/// let keys = ManagedKeys::new(storage, "https://issuer.example", encryption);
/// let signer = Arc::new(keys.signer().await?);
///
/// let updated = Arc::clone(&signer);
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(Duration::from_mins(10)).await;
///         if let Err(error) = keys.update(&updated).await {
///             eprintln!("the signing keys were not updated: {error}");
///         }
///     }
/// });
/// assert_eq!(signer.jwk_set().keys.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct ManagedKeys<S> {
    storage: S,
    issuer: String,
    encryption: KeyEncryption,
    schedule: KeySchedule,
    algorithms: Vec<SigningAlgorithm>,
}

impl<S: SigningKeyStorage> ManagedKeys<S> {
    /// Keys for ES256 with the default schedule. The issuer is that of [`IdTokenSigner::new`].
    pub fn new(storage: S, issuer: impl Into<String>, encryption: KeyEncryption) -> Self {
        let algorithms = vec![SigningAlgorithm::ES256];
        let schedule = KeySchedule::default();
        Self { storage, issuer: issuer.into(), encryption, schedule, algorithms }
    }

    /// Sets the schedule.
    #[must_use]
    pub const fn with_schedule(mut self, schedule: KeySchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets the algorithms. The first is the default of the signer. RS256 needs the feature `jwt-rs256`.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: impl Into<Vec<SigningAlgorithm>>) -> Self {
        self.algorithms = algorithms.into();
        self
    }

    /// Takes the steps that are due, loads the keys, and returns a signer with them.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate), [`load`](Self::load) and [`IdTokenSigner::new`].
    pub async fn signer(&self) -> Result<IdTokenSigner> {
        self.rotate_all().await?;
        IdTokenSigner::new(&self.issuer, self.load().await?)
    }

    /// Takes the steps that are due, loads the keys, and replaces those of the signer. If a step fails, as on a
    /// read-only server, the keys are loaded all the same. If loading fails, the signer keeps its keys.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate) and [`load`](Self::load).
    pub async fn update(&self, signer: &IdTokenSigner) -> Result<()> {
        let rotated = self.rotate_all().await;
        let keys = self.load().await?;
        signer.update_keys(|_| keys);
        rotated
    }

    async fn rotate_all(&self) -> Result<()> {
        for algorithm in &self.algorithms {
            let _ = self.rotate(*algorithm).await?;
        }
        Ok(())
    }

    /// Takes the step of the rotation that is due: stores the first key, stores a next key, or makes the next
    /// key active. However many nodes call it at the same time, each step is taken once.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if a stored key is encrypted under a key that was not given, so that a
    /// node with a wrong key stores none that the others cannot open. Returns [`Error::Corrupt`] if a stored key
    /// was changed; [`Error::Invalid`], which names the field, if the issuer or the schedule is invalid.
    /// Otherwise fails only if the storage does.
    ///
    /// ```
    /// # use oauth_storage::MemoryStorage;
    /// # use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys};
    /// use std::time::Duration;
    ///
    /// use oauth_storage::id_token::SigningAlgorithm::ES256;
    /// use oauth_storage::signing_key::KeyRotationOutcome::{Announced, Created, NotDue, Rotated};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let encryption = KeyEncryption::new(KeyEncryptionKey::generate()?);
    /// let storage = MemoryStorage::new();
    /// let keys = ManagedKeys::new(storage.clone(), "https://issuer.example", encryption);
    /// assert_eq!(keys.rotate(ES256).await?, Created);
    /// assert_eq!(keys.rotate(ES256).await?, Announced);
    /// assert!(matches!(keys.rotate(ES256).await?, NotDue { due_at: Some(_) }));
    ///
    /// storage.advance_clock(Duration::from_hours(90 * 24)).await;
    /// assert_eq!(keys.rotate(ES256).await?, Rotated);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rotate(&self, algorithm: SigningAlgorithm) -> Result<KeyRotationOutcome> {
        // Before a key is stored that no signer can use.
        super::check_issuer(&self.issuer)?;
        let stored = self.storage.list_signing_keys(&self.issuer).await?;
        for own in &stored {
            self.encryption.open(&own.key)?;
        }
        let has_next = stored
            .iter()
            .any(|own| own.state == SigningKeyState::Next && own.key.algorithm == algorithm);
        if !has_next {
            let key = self.encryption.seal(&self.issuer, &generate(algorithm).await?)?;
            let added = self.storage.add_signing_key(key).await?;
            if !matches!(added, KeyRotationOutcome::NotDue { .. }) {
                return Ok(added);
            }
        }
        self.storage.rotate_signing_keys(&self.issuer, algorithm, self.schedule).await
    }

    /// Loads the keys. The active key of an algorithm that is not one of [`with_algorithms`](Self::with_algorithms)
    /// is loaded as a retired one.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if there is no active key, or if a key is encrypted under a key that was
    /// not given; [`Error::Corrupt`] if a stored key was changed. Otherwise fails only if the storage does.
    pub async fn load(&self) -> Result<SigningKeys> {
        let stored = self.storage.list_signing_keys(&self.issuer).await?;
        let mut opened = Vec::with_capacity(stored.len());
        for StoredSigningKey { key, state, .. } in &stored {
            opened.push((*state, self.encryption.open(key)?));
        }
        let active = self.algorithms.iter().filter_map(|algorithm| {
            let is_it = |(state, key): &&(SigningKeyState, SigningKey)| {
                *state == SigningKeyState::Active && key.algorithm() == *algorithm
            };
            opened.iter().find(is_it).map(|(_, key)| key.clone())
        });
        let mut active = active.collect::<Vec<_>>().into_iter();
        let first = active.next().ok_or_else(|| {
            let issuer = &self.issuer;
            Error::configuration(format!("no active signing key of {issuer}; call `rotate` first"))
        })?;
        let keys = active.fold(SigningKeys::new(first), SigningKeys::with_active);
        Ok(opened.into_iter().fold(keys, |keys, (state, key)| match state {
            _ if !self.algorithms.contains(&key.algorithm()) => {
                keys.with_retired(key.public_key().clone())
            }
            SigningKeyState::Active => keys,
            SigningKeyState::Next => keys.with_next(key),
            SigningKeyState::Retired => keys.with_retired(key.public_key().clone()),
        }))
    }

    /// Revokes every key of an algorithm after a compromise: deletes them and stores a new active key, in one
    /// step. Returns the number of revoked keys. Works without the encryption key of the revoked keys.
    ///
    /// No ID token of a revoked key verifies once a node has [updated](Self::update) its keys. Until then the
    /// node still signs with a revoked key, so update all nodes at once, or restart them.
    ///
    /// # Errors
    /// Fails only if the storage does, or the operating system provides no randomness.
    pub async fn revoke(&self, algorithm: SigningAlgorithm) -> Result<u64> {
        let key = self.encryption.seal(&self.issuer, &generate(algorithm).await?)?;
        self.storage.revoke_signing_keys(key).await
    }

    /// Encrypts every key under the current encryption key that is encrypted under another, and returns their
    /// number. If it ends with an error, call it again: it continues.
    ///
    /// It does not help against somebody who has the old encryption key and an older copy of the table, such as
    /// a backup: [revoke](Self::revoke) the keys then.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if a key is encrypted under a key that was not given;
    /// [`Error::Corrupt`] if a stored key was changed. Otherwise fails only if the storage does.
    pub async fn reencrypt(&self) -> Result<u64> {
        let mut reencrypted = 0;
        for StoredSigningKey { key, .. } in self.storage.list_signing_keys(&self.issuer).await? {
            if self.encryption.is_current(&key) {
                continue;
            }
            let sealed = self.encryption.seal(&self.issuer, &self.encryption.open(&key)?)?;
            let done = self.storage.reencrypt_signing_key(sealed, &key.encryption_key_id).await?;
            reencrypted += u64::from(done);
        }
        Ok(reencrypted)
    }
}

/// Generates a key. RSA takes a part of a second, so it does not run on a thread that serves requests.
async fn generate(algorithm: SigningAlgorithm) -> Result<SigningKey> {
    let generated = tokio::task::spawn_blocking(move || SigningKey::generate_for(algorithm)).await;
    generated.unwrap_or_else(|_| {
        Err(Error::Unavailable { message: "the runtime ended".into(), source: None })
    })
}

impl<S> fmt::Debug for ManagedKeys<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedKeys")
            .field("issuer", &self.issuer)
            .field("encryption", &self.encryption)
            .field("schedule", &self.schedule)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
