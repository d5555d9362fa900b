//! Signing keys on two processes: each step of the rotation is taken once.

use std::time::Duration;

use oauth_storage::id_token::SigningAlgorithm::ES256;
use oauth_storage::signing_key::{KeyRotationOutcome, KeySchedule, SealedSigningKey};
use oauth_storage::{PgStorage, SigningKeyStorage as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{TASKS, assert_no_deadlock, count, storage};
use crate::support::TestStorage;
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

/// The numbers of keys that one process created, announced and rotated.
type Won = [usize; 3];

fn issuer(number: usize) -> String {
    format!("https://{number}.example")
}

/// The storage sees ciphertext only, so any will do.
async fn add(storage: &PgStorage, issuer: &str) -> KeyRotationOutcome {
    let kid = Uuid::new_v4().to_string();
    let key = SealedSigningKey::new(issuer, kid, ES256, "encryption-key", vec![1]);
    storage.add_signing_key(key).await.unwrap()
}

/// Takes the steps of each issuer in each of many concurrent tasks: a first key, a rotation, a next key.
async fn rotate_all(storage: &PgStorage, issuers: Vec<String>) -> Won {
    // Only the first rotation is due: a key is active for an hour.
    let schedule = KeySchedule::default()
        .with_announcement(Duration::ZERO)
        .with_period(Duration::from_hours(1));
    let mut racers = JoinSet::new();
    for _ in 0..TASKS / 4 {
        let (storage, issuers) = (storage.clone(), issuers.clone());
        racers.spawn(async move {
            let mut won = [0; 3];
            for issuer in issuers {
                let added = add(&storage, &issuer).await;
                let rotated = storage.rotate_signing_keys(&issuer, ES256, schedule).await.unwrap();
                for outcome in [added, rotated, add(&storage, &issuer).await] {
                    match outcome {
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
    let issuers = count(1_000, 60);
    // Half of the issuers have an old active key, so that a rotation is due.
    for issuer in (0..issuers).step_by(2).map(issuer) {
        assert_eq!(add(&storage, &issuer).await, KeyRotationOutcome::Created);
        assert_eq!(add(&storage, &issuer).await, KeyRotationOutcome::Announced);
    }
    test.sql(
        "UPDATE oauth_storage.signing_key SET activated_at = now() - interval '1 day'
         WHERE state = 'a'",
    )
    .await;
    let input = [test.database.url(), &issuers.to_string()].map(str::to_owned);
    let mut other =
        OtherProcess::start("races::signing_keys::child_rotates_signing_keys", &input).await;
    other.go().await;
    let ours = rotate_all(&storage, (0..issuers).map(issuer).collect()).await;
    let theirs = other.answer().await;
    let theirs: Vec<usize> = theirs.split(' ').map(|number| number.parse().unwrap()).collect();
    let expected = [issuers / 2, issuers, issuers / 2];
    for (what, ((ours, theirs), expected)) in
        ["created", "announced", "rotated"].iter().zip(ours.iter().zip(&theirs).zip(expected))
    {
        assert_eq!(ours + theirs, expected, "{what}: {ours} here, {theirs} there");
    }
    let [ours, theirs]: [usize; 2] = [ours.iter().sum(), theirs.iter().sum()];
    assert!(ours > 0 && theirs > 0, "a race: {ours}, {theirs}");
    for number in 0..issuers {
        let stored = storage.list_signing_keys(&issuer(number)).await.unwrap();
        assert_eq!(stored.len(), if number % 2 == 0 { 3 } else { 2 });
    }
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_rotates_signing_keys() {
    let Some(input) = child_input() else { return };
    let [url, issuers] = &input[..] else { panic!("{input:?}") };
    let storage = storage(url).await;
    println!("answer: ready");
    tokio::task::block_in_place(child_step);
    // From the other end, because the process that begins would stay ahead. They meet in the middle.
    let issuers = (0..issuers.parse().unwrap()).rev().map(issuer).collect();
    let won = rotate_all(&storage, issuers).await;
    println!("answer: {}", won.map(|won| won.to_string()).join(" "));
}
