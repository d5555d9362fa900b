use async_trait::async_trait;

use super::{KeyRotationOutcome, KeySchedule, SealedSigningKey, StoredSigningKey};
use crate::error::Result;
use crate::id_token::SigningAlgorithm;

/// Storage of signing keys.
///
/// An application calls `jwt::ManagedKeys`, which encrypts the keys and makes these calls. Each is one atomic
/// operation, so any number of nodes may call it at the same time. The storage's clock decides what is due.
///
/// ```
/// use oauth_storage::id_token::SigningAlgorithm::ES256;
/// use oauth_storage::signing_key::{KeyRotationOutcome, KeySchedule, SealedSigningKey};
/// use oauth_storage::{MemoryStorage, SigningKeyStorage};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let storage = MemoryStorage::new();
/// let issuer = "https://issuer.example";
/// # let ciphertext = || vec![1];
/// let first = SealedSigningKey::new(issuer, "kid-1", ES256, "encryption-key-1", ciphertext());
/// assert_eq!(storage.add_signing_key(first).await?, KeyRotationOutcome::Created);
/// let next = SealedSigningKey::new(issuer, "kid-2", ES256, "encryption-key-1", ciphertext());
/// assert_eq!(storage.add_signing_key(next).await?, KeyRotationOutcome::Announced);
///
/// let outcome = storage.rotate_signing_keys(issuer, ES256, KeySchedule::default()).await?;
/// assert!(matches!(outcome, KeyRotationOutcome::NotDue { due_at: Some(_) }), "in 90 days");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait SigningKeyStorage: Send + Sync {
    /// Lists the keys of an issuer that belong into its JWK set, newest first: in any state, without retired
    /// keys that have expired.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `issuer` if it is refused. Otherwise fails only if
    /// the storage does (see [`Error`](crate::Error)).
    async fn list_signing_keys(&self, issuer: &str) -> Result<Vec<StoredSigningKey>>;

    /// Stores a key as active if the issuer has neither an active nor a next key of the algorithm
    /// ([`Created`](KeyRotationOutcome::Created)), or else as next
    /// ([`Announced`](KeyRotationOutcome::Announced)). If there is a next key, or another call stores one at the
    /// same time, nothing is changed ([`NotDue`](KeyRotationOutcome::NotDue)).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid. Otherwise
    /// fails only if the storage does (see [`Error`](crate::Error)).
    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<KeyRotationOutcome>;

    /// Makes the next key the active one and retires the active one, if both the period of the active key and
    /// the announcement of the next one have passed. Of any number of concurrent calls exactly one is
    /// [`Rotated`](KeyRotationOutcome::Rotated). A next key without an active one is due at once.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid. Otherwise
    /// fails only if the storage does (see [`Error`](crate::Error)).
    async fn rotate_signing_keys(
        &self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        schedule: KeySchedule,
    ) -> Result<KeyRotationOutcome>;

    /// Deletes every key of the replacement's issuer and algorithm, in any state, and makes the replacement
    /// active, in one atomic operation. Returns the number of deleted keys. After it returns no key that was
    /// stored before is listed.
    ///
    /// If another call stores a key at the same time, that one is active and the replacement is not stored.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid. Otherwise
    /// fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_signing_keys(&self, replacement: SealedSigningKey) -> Result<u64>;

    /// Replaces the ciphertext of a key, which another encryption key protects from now on. Returns false if
    /// the key does not exist or is no longer encrypted under the key with the identifier `from`.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid. Otherwise
    /// fails only if the storage does (see [`Error`](crate::Error)).
    async fn reencrypt_signing_key(&self, key: SealedSigningKey, from: &str) -> Result<bool>;
}

forward!(SigningKeyStorage {
    fn list_signing_keys(&self, issuer: &str) -> Result<Vec<StoredSigningKey>>;
    fn add_signing_key(&self, key: SealedSigningKey) -> Result<KeyRotationOutcome>;
    fn rotate_signing_keys(&self, issuer: &str, algorithm: SigningAlgorithm, schedule: KeySchedule) -> Result<KeyRotationOutcome>;
    fn revoke_signing_keys(&self, replacement: SealedSigningKey) -> Result<u64>;
    fn reencrypt_signing_key(&self, key: SealedSigningKey, from: &str) -> Result<bool>;
});
