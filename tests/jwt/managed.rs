//! Keys that the storage keeps: encrypted, rotated and loaded by several nodes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use oauth_storage::error::Result;
use oauth_storage::id_token::SigningAlgorithm::{self, ES256, RS256};
use oauth_storage::jwt::{
    IdTokenSigner, KeyEncryption, KeyEncryptionKey, ManagedKeys, SigningKeys,
};
use oauth_storage::signing_key::KeyRotationOutcome::{self, Announced, Created, NotDue, Rotated};
use oauth_storage::signing_key::{
    KeySchedule, SealedSigningKey, SigningKeyStorage, StoredSigningKey,
};
use oauth_storage::{Error, IdTokenStorage as _, MemoryStorage, Scope};
use serde_json::Map;

use crate::support::{ISSUER, jwks, new_token, request, verify};

const DAY: Duration = Duration::from_hours(24);

fn new_key() -> KeyEncryptionKey {
    KeyEncryptionKey::generate().unwrap()
}

fn keys(storage: &MemoryStorage, encryption: &KeyEncryption) -> ManagedKeys<MemoryStorage> {
    ManagedKeys::new(storage.clone(), ISSUER, encryption.clone())
}

fn sign(signer: &IdTokenSigner) -> String {
    signer.sign(&request(), &new_token(&Scope::default()), Map::new()).unwrap()
}

fn kids(keys: &SigningKeys) -> Vec<String> {
    keys.jwk_set().keys.iter().map(|key| key.kid().to_owned()).collect()
}

/// Three nodes load the keys at different times, twice in an announcement. Whatever one of them signs, all of
/// them verify with the JWK set that they have loaded, until the token has expired.
#[tokio::test]
async fn every_node_verifies_every_token_through_every_rotation() {
    let storage = MemoryStorage::new();
    let encryption = KeyEncryption::new(new_key());
    let keys = keys(&storage, &encryption)
        .with_schedule(KeySchedule::default().with_period(5 * DAY).with_retention(DAY / 2));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(keys.signer().await.unwrap());
    }
    let mut tokens: Vec<(usize, String)> = Vec::new();
    let mut signed = BTreeSet::new();
    // In steps of four hours, for 16 days.
    for step in 0..96 {
        storage.advance_clock(DAY / 6).await;
        keys.update(&nodes[step % 3]).await.unwrap();
        for node in &nodes {
            signed.insert(node.keys().active(None).unwrap().kid().to_owned());
            tokens.push((step, sign(node)));
            assert!(node.jwk_set().keys.len() <= 3);
        }
        tokens.retain(|(signed_at, _)| signed_at + 3 >= step);
        for (signed_at, token) in &tokens {
            for node in &nodes {
                let verified = verify(&jwks(node), token);
                assert!(verified.is_ok(), "signed at {signed_at}, {verified:?} at {step}");
            }
        }
    }
    assert_eq!(signed.len(), 4, "rotated on the days 5, 10 and 15");
}

#[tokio::test]
async fn the_nodes_of_a_cluster_create_one_key_and_load_it() {
    let storage = MemoryStorage::new();
    let encryption = KeyEncryption::new(new_key());
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let keys = keys(&storage, &encryption);
        nodes.spawn(async move { keys.signer().await.unwrap() });
    }
    let nodes = nodes.join_all().await;
    let first = nodes[0].keys().active(None).unwrap().kid().to_owned();
    for node in &nodes {
        assert_eq!(node.keys().active(None).unwrap().kid(), first);
        verify(&jwks(node), &sign(&nodes[0])).unwrap();
    }
}

#[tokio::test]
async fn a_revoked_key_verifies_nothing_and_its_successor_signs() {
    let storage = MemoryStorage::new();
    let encryption = KeyEncryption::new(new_key());
    let keys = keys(&storage, &encryption);
    let signer = keys.signer().await.unwrap();
    keys.update(&signer).await.unwrap();
    let (before, set) = (sign(&signer), kids(&signer.keys()));
    assert_eq!(set.len(), 2, "an active and a next key");
    assert_eq!(keys.revoke(ES256).await.unwrap(), 2);
    keys.update(&signer).await.unwrap();
    assert!(verify(&jwks(&signer), &before).is_err());
    verify(&jwks(&signer), &sign(&signer)).unwrap();
    assert!(kids(&signer.keys()).iter().all(|kid| !set.contains(kid)));
}

#[tokio::test]
async fn each_algorithm_has_its_keys_and_a_removed_one_is_still_published() {
    let storage = MemoryStorage::new();
    let encryption = KeyEncryption::new(new_key());
    let both = keys(&storage, &encryption).with_algorithms([RS256, ES256]);
    let signer = both.signer().await.unwrap();
    assert_eq!(signer.keys().algorithms(), [RS256, ES256]);
    let scope = Scope::default();
    let rsa = signer.sign(&request(), &new_token(&scope), Map::new()).unwrap();
    let ec = new_token(&scope).with_signing_alg(ES256);
    let ec = signer.sign(&request(), &ec, Map::new()).unwrap();
    for token in [&rsa, &ec] {
        assert!(signer.verify_id_token_hint(token).await.unwrap().is_some());
    }
    // A node of another configuration publishes the same keys.
    let one = keys(&storage, &encryption);
    let other = one.signer().await.unwrap();
    assert_eq!(other.keys().algorithms(), [ES256]);
    for token in [&rsa, &ec] {
        assert!(other.verify_id_token_hint(token).await.unwrap().is_some());
    }
    assert_eq!(both.rotate(RS256).await.unwrap(), Announced);
    let stored = storage.list_signing_keys(ISSUER).await.unwrap();
    let active = stored.iter().find(|own| own.key.kid == signer.keys().active(None).unwrap().kid());
    let due_at = active.and_then(|own| own.activated_at).map(|at| at + 90 * DAY);
    assert_eq!(both.rotate(RS256).await.unwrap(), NotDue { due_at });
}

#[tokio::test]
async fn a_node_with_a_wrong_key_stores_nothing_and_keeps_its_keys() {
    let storage = MemoryStorage::new();
    let encryption = KeyEncryption::new(new_key());
    let right = keys(&storage, &encryption);
    let signer = right.signer().await.unwrap();
    let stored = storage.list_signing_keys(ISSUER).await.unwrap();
    let wrong = keys(&storage, &KeyEncryption::new(new_key()));
    let (published, own_id) = (kids(&signer.keys()), stored[0].key.encryption_key_id.clone());
    for error in [
        wrong.rotate(ES256).await.unwrap_err(),
        wrong.load().await.unwrap_err(),
        wrong.reencrypt().await.unwrap_err(),
        wrong.update(&signer).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
        assert!(error.to_string().contains(&own_id), "{error}");
    }
    assert_eq!(storage.list_signing_keys(ISSUER).await.unwrap(), stored);
    assert_eq!(kids(&signer.keys()), published);
    // After the loss of the encryption key.
    assert_eq!(wrong.revoke(ES256).await.unwrap(), 1);
    wrong.update(&signer).await.unwrap();
    verify(&jwks(&signer), &sign(&signer)).unwrap();
    assert_ne!(kids(&signer.keys()), published);
}

/// Ends after a number of re-encryptions, as a process that is killed.
struct Interrupted {
    storage: MemoryStorage,
    left: AtomicUsize,
}

#[async_trait]
impl SigningKeyStorage for Interrupted {
    async fn list_signing_keys(&self, issuer: &str) -> Result<Vec<StoredSigningKey>> {
        self.storage.list_signing_keys(issuer).await
    }

    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<KeyRotationOutcome> {
        self.storage.add_signing_key(key).await
    }

    async fn rotate_signing_keys(
        &self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        schedule: KeySchedule,
    ) -> Result<KeyRotationOutcome> {
        self.storage.rotate_signing_keys(issuer, algorithm, schedule).await
    }

    async fn revoke_signing_keys(&self, replacement: SealedSigningKey) -> Result<u64> {
        self.storage.revoke_signing_keys(replacement).await
    }

    async fn reencrypt_signing_key(&self, key: SealedSigningKey, from: &str) -> Result<bool> {
        let left = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| Error::Unavailable { message: "interrupted".into(), source: None })?;
        self.storage.reencrypt_signing_key(key, from).await
    }
}

#[tokio::test]
async fn an_interrupted_reencryption_continues() {
    let storage = MemoryStorage::new();
    let (old, new) = (new_key(), new_key());
    let keys_of = |encryption: KeyEncryption| keys(&storage, &encryption);
    let before = keys_of(KeyEncryption::new(old.clone()));
    assert_eq!(before.rotate(ES256).await.unwrap(), Created);
    assert_eq!(before.rotate(ES256).await.unwrap(), Announced);
    storage.advance_clock(90 * DAY).await;
    assert_eq!(before.rotate(ES256).await.unwrap(), Rotated);
    assert_eq!(before.rotate(ES256).await.unwrap(), Announced);
    let loaded = before.load().await.unwrap();
    assert_eq!(kids(&loaded).len(), 3, "active, next and retired");

    let both = KeyEncryption::new(new.clone()).with_other(old.clone());
    let left = AtomicUsize::new(2);
    let interrupted = Interrupted { storage: storage.clone(), left };
    let interrupted = ManagedKeys::new(interrupted, ISSUER, both.clone());
    assert!(matches!(interrupted.reencrypt().await, Err(Error::Unavailable { .. })));
    // A node that has both keys loads the keys at any moment; one that has a single one does not.
    assert_eq!(kids(&keys_of(both.clone()).load().await.unwrap()), kids(&loaded));
    for half in [&old, &new] {
        let error = keys_of(KeyEncryption::new(half.clone())).load().await.unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
    }
    assert_eq!(keys_of(both.clone()).reencrypt().await.unwrap(), 1);
    assert_eq!(keys_of(both).reencrypt().await.unwrap(), 0);
    let after = keys_of(KeyEncryption::new(new)).load().await.unwrap();
    assert_eq!(kids(&after), kids(&loaded));
    let pem = |keys: &SigningKeys| keys.active(None).unwrap().to_pkcs8_pem().unwrap();
    assert_eq!(pem(&after), pem(&loaded));
}
