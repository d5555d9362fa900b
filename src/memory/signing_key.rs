use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::MemoryStorage;
use super::state::{State, after};
use crate::error::Result;
use crate::id_token::SigningAlgorithm;
use crate::signing_key::{
    KeyRotationOutcome, KeySchedule, SealedSigningKey, SigningKeyState, SigningKeyStorage,
    StoredSigningKey, check_issuer,
};

impl StoredSigningKey {
    pub(super) fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl State {
    fn signing_key(
        &mut self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        state: SigningKeyState,
    ) -> Option<&mut StoredSigningKey> {
        self.signing_keys.iter_mut().find(|stored| {
            stored.state == state
                && stored.key.algorithm == algorithm
                && stored.key.issuer == issuer
        })
    }

    /// Returns false if the issuer has a key with this identifier.
    fn store_signing_key(&mut self, key: SealedSigningKey, state: SigningKeyState) -> bool {
        let is_same =
            |own: &StoredSigningKey| own.key.issuer == key.issuer && own.key.kid == key.kid;
        if self.signing_keys.iter().any(is_same) {
            return false;
        }
        let created_at = self.now();
        self.signing_keys.push(StoredSigningKey {
            key,
            state,
            created_at,
            activated_at: (state == SigningKeyState::Active).then_some(created_at),
            retired_at: None,
            expires_at: None,
        });
        true
    }
}

#[async_trait]
impl SigningKeyStorage for MemoryStorage {
    async fn list_signing_keys(&self, issuer: &str) -> Result<Vec<StoredSigningKey>> {
        check_issuer(issuer)?;
        let state = self.state().await;
        let now = state.now();
        let listed = state.signing_keys.iter().rev();
        let listed = listed.filter(|own| own.key.issuer == issuer && !own.is_expired(now));
        Ok(listed.cloned().collect())
    }

    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<KeyRotationOutcome> {
        key.check()?;
        let mut state = self.state().await;
        let mut has = |wanted| state.signing_key(&key.issuer, key.algorithm, wanted).is_some();
        let (wanted, outcome) = match (has(SigningKeyState::Active), has(SigningKeyState::Next)) {
            (false, false) => (SigningKeyState::Active, KeyRotationOutcome::Created),
            (true, false) => (SigningKeyState::Next, KeyRotationOutcome::Announced),
            (_, true) => return Ok(KeyRotationOutcome::NotDue { due_at: None }),
        };
        let is_stored = state.store_signing_key(key, wanted);
        Ok(if is_stored { outcome } else { KeyRotationOutcome::NotDue { due_at: None } })
    }

    async fn rotate_signing_keys(
        &self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        schedule: KeySchedule,
    ) -> Result<KeyRotationOutcome> {
        check_issuer(issuer)?;
        schedule.check()?;
        let mut state = self.state().await;
        let now = state.now();
        let Some(next) = state.signing_key(issuer, algorithm, SigningKeyState::Next) else {
            return Ok(KeyRotationOutcome::NotDue { due_at: None });
        };
        let announced = after(next.created_at, schedule.announcement);
        if let Some(active) = state.signing_key(issuer, algorithm, SigningKeyState::Active) {
            let since = active.activated_at.unwrap_or(active.created_at);
            let due_at = announced.max(after(since, schedule.period));
            if due_at > now {
                return Ok(KeyRotationOutcome::NotDue { due_at: Some(due_at) });
            }
            active.state = SigningKeyState::Retired;
            active.retired_at = Some(now);
            active.expires_at = Some(after(after(now, schedule.announcement), schedule.retention));
        }
        if let Some(next) = state.signing_key(issuer, algorithm, SigningKeyState::Next) {
            next.state = SigningKeyState::Active;
            next.activated_at = Some(now);
        }
        Ok(KeyRotationOutcome::Rotated)
    }

    async fn revoke_signing_keys(&self, replacement: SealedSigningKey) -> Result<u64> {
        replacement.check()?;
        let mut state = self.state().await;
        let before = state.signing_keys.len();
        state.signing_keys.retain(|own| {
            own.key.issuer != replacement.issuer || own.key.algorithm != replacement.algorithm
        });
        let revoked = before - state.signing_keys.len();
        state.store_signing_key(replacement, SigningKeyState::Active);
        Ok(revoked as u64)
    }

    async fn reencrypt_signing_key(&self, key: SealedSigningKey, from: &str) -> Result<bool> {
        key.check()?;
        let mut state = self.state().await;
        let stored = state.signing_keys.iter_mut().find(|own| {
            own.key.issuer == key.issuer
                && own.key.kid == key.kid
                && own.key.encryption_key_id == from
        });
        let Some(stored) = stored else { return Ok(false) };
        // The algorithm stays.
        stored.key.encryption_key_id = key.encryption_key_id;
        stored.key.ciphertext = key.ciphertext;
        Ok(true)
    }
}
