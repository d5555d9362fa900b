//! Signing keys on two processes: each step of the rotation is taken once.

use std::time::Duration;

use oauth_storage::id_token::SigningAlgorithm::ES256;
use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys};
use oauth_storage::signing_key::KeyRotationOutcome;
use oauth_storage::signing_key::KeySchedule;
use oauth_storage::{PgStorage, SigningKeyStorage as _};
use tokio::task::JoinSet;

use super::other_process::{OtherProcess, child_input, child_step};
use super::{TASKS, assert_no_deadlock, count, storage};
use crate::support::TestStorage;

/// The numbers of keys that one process created, announced and rotated.
type Won = [usize; 3];

/// Takes the steps of each issuer in each of many concurrent tasks: a first key, a next key, a rotation.
async fn rotate_all(storage: &PgStorage, key: &str, issuers: usize) -> Won {
    let mut racers = JoinSet::new();
    for _ in 0..TASKS / 8 {
        let (storage, key) = (storage.clone(), key.to_owned());
        racers.spawn(async move {
            let mut won = [0; 3];
            for issuer in 0..issuers {
                let key = KeyEncryptionKey::from_base64(&key).unwrap();
                // Only the first rotation is due: a key is active for an hour.
                let schedule = KeySchedule::default()
                    .with_announcement(Duration::ZERO)
                    .with_period(Duration::from_hours(1));
                let issuer = format!("https://{issuer}.example");
                let keys = ManagedKeys::new(storage.clone(), issuer, KeyEncryption::new(key));
                let keys = keys.with_schedule(schedule);
                for _ in 0..3 {
                    match keys.rotate(ES256).await.unwrap() {
                        KeyRotationOutcome::Created => won[0] += 1,
                        KeyRotationOutcome::Announced => won[1] += 1,
                        KeyRotationOutcome::Rotated => won[2] += 1,
                        KeyRotationOutcome::NotDue { .. } => {}
                    }
                }
            }
            won
        });
    }
    let mut sum = [0; 3];
    for won in racers.join_all().await {
        sum.iter_mut().zip(won).for_each(|(sum, won)| *sum += won);
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_rotation_is_taken_once_on_two_processes() {
    let test = TestStorage::new("signing_keys").await;
    let storage = storage(test.database.url()).await;
    let issuers = count(100, 8);
    let key = KeyEncryptionKey::generate().unwrap().to_base64();
    // The first half of the issuers has an old active key, so that a rotation is due.
    for issuer in 0..issuers / 2 {
        let encryption = KeyEncryption::new(KeyEncryptionKey::from_base64(key.expose()).unwrap());
        let issuer = format!("https://{issuer}.example");
        let keys = ManagedKeys::new(storage.clone(), issuer, encryption);
        assert_eq!(keys.rotate(ES256).await.unwrap(), KeyRotationOutcome::Created);
        assert_eq!(keys.rotate(ES256).await.unwrap(), KeyRotationOutcome::Announced);
    }
    test.sql(
        "UPDATE oauth_storage.signing_key SET activated_at = now() - interval '1 day'
         WHERE state = 'a'",
    )
    .await;
    let input = [test.database.url(), key.expose(), &issuers.to_string()].map(str::to_owned);
    let mut other = OtherProcess::start("signing_keys::child_rotates_signing_keys", &input).await;
    other.go().await;
    let ours = rotate_all(&storage, key.expose(), issuers).await;
    let theirs = other.answer().await;
    let theirs: Vec<usize> = theirs.split(' ').map(|number| number.parse().unwrap()).collect();
    let both: Vec<usize> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours + theirs).collect();
    let rotated = issuers / 2;
    assert_eq!(both[0], issuers - rotated, "created: {ours:?} and {theirs:?}");
    assert_eq!(both[1], issuers, "announced: {ours:?} and {theirs:?}");
    assert_eq!(both[2], rotated, "rotated: {ours:?} and {theirs:?}");
    let (ours, theirs): (usize, usize) = (ours.iter().sum(), theirs.iter().sum());
    assert!(ours > 0 && theirs > 0, "a race: {ours:?}, {theirs:?}");
    for issuer in 0..issuers {
        let stored = storage.list_signing_keys(&format!("https://{issuer}.example")).await.unwrap();
        assert_eq!(stored.len(), if issuer < rotated { 3 } else { 2 });
    }
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_rotates_signing_keys() {
    let Some(input) = child_input() else { return };
    let [url, key, issuers] = &input[..] else { panic!("{input:?}") };
    let storage = storage(url).await;
    println!("answer: ready");
    tokio::task::block_in_place(child_step);
    let won = rotate_all(&storage, key, issuers.parse().unwrap()).await;
    println!("answer: {}", won.map(|won| won.to_string()).join(" "));
}
