//! Writes against a revocation: none survives it, in two processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oauth_as::{ClientId, RefreshTokenState, Storage as _, WriteOutcome};
use oauth_storage_oauth_as::OauthAsStorage;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::TASKS;
use crate::records::{consent, pushed, refresh, token, window};
use crate::support::{TestStorage, connect, count, key};
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

/// The writes of one task in a round.
const WRITES: usize = 3;

/// The client of a round, which is revoked in one of three ways.
fn client_id(round: usize) -> String {
    format!("client-{round}")
}

fn family(round: usize) -> String {
    format!("family-{round}")
}

/// Writes of one task that belong to a round. Returns how many were applied.
async fn write(storage: &OauthAsStorage, round: usize, racer: &str) -> usize {
    let (client, family) = (client_id(round), family(round));
    let mut applied = 0;
    for n in 0..WRITES {
        let name = format!("{racer}-{round}-{n}");
        let outcome = match n {
            0 => storage.put_token(token(&name, &client, &family)).await,
            1 => storage.put_refresh_token(refresh(&name, &client, &family)).await,
            // Only a deleted client refuses a pushed request.
            _ if round.is_multiple_of(3) => {
                storage.put_pushed_authorization_request(pushed(&name, &client)).await
            }
            _ => storage.put_token(token(&name, &client, &family)).await,
        };
        applied += usize::from(outcome.unwrap() == WriteOutcome::Applied);
    }
    applied
}

/// One task rotates a token as fast as it can, until it is refused.
async fn rotate(storage: &OauthAsStorage, round: usize) {
    let (client, family) = (client_id(round), family(round));
    let mut current = refresh(&format!("rotated-{round}"), &client, &family);
    for n in 0..1000 {
        let mut spent = current.clone();
        spent.state = RefreshTokenState::Spent;
        let name = format!("rotated-{round}-{n}");
        let (access, next) = (token(&name, &client, &family), refresh(&name, &client, &family));
        let rotated = storage.rotate_refresh_token(&current, &spent, &access, Some(&next));
        if !rotated.await.unwrap() {
            return;
        }
        current = next;
    }
    panic!("the revocation did not end the rotations");
}

async fn revoke(storage: &OauthAsStorage, round: usize) {
    match round % 3 {
        0 => {
            storage.delete_client(&ClientId::new(client_id(round)), window()).await.unwrap();
        }
        1 => {
            storage.revoke_token_family(&family(round), window()).await.unwrap();
        }
        _ => {
            storage.revoke_consent(&client_id(round), window()).await.unwrap();
        }
    }
}

/// Runs the rounds in many concurrent tasks. The first process also rotates and revokes. Returns how many
/// writes were applied.
async fn run_rounds(
    storage: &OauthAsStorage,
    process: &str,
    rounds: usize,
    mut step: impl AsyncFnMut(),
) -> usize {
    let barrier = Arc::new(Barrier::new(TASKS / 2 + 1));
    let applied = Arc::new(AtomicUsize::new(0));
    let mut racers = JoinSet::new();
    for task in 0..TASKS / 2 {
        let (storage, barrier) = (storage.clone(), Arc::clone(&barrier));
        let (applied, racer) = (Arc::clone(&applied), format!("{process}-{task}"));
        let revokes = process == "one";
        racers.spawn(async move {
            for round in 0..rounds {
                barrier.wait().await;
                match task {
                    0 if revokes => {
                        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                        revoke(&storage, round).await;
                    }
                    1 if revokes => rotate(&storage, round).await,
                    _ => {
                        let written = write(&storage, round, &racer).await;
                        applied.fetch_add(written, Ordering::Relaxed);
                    }
                }
            }
        });
    }
    for _ in 0..rounds {
        step().await;
        barrier.wait().await;
    }
    racers.join_all().await;
    applied.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_survives_a_revocation_in_two_processes() {
    let test = TestStorage::new("revocation").await;
    let rounds = count(300, 15);
    for round in 0..rounds {
        let (client, family) = (client_id(round), family(round));
        let record = refresh(&format!("rotated-{round}"), &client, &family);
        assert!(test.storage.put_refresh_token(record).await.unwrap().is_applied());
        test.storage.put_consent(consent(&client, &client)).await.unwrap();
    }
    let input = [test.database.url().to_owned(), rounds.to_string()];
    let mut other = OtherProcess::start("races::revocation::child_writes", &input).await;
    let step = async || other.go().await;
    let ours = run_rounds(&test.storage, "one", rounds, step).await;
    let applied = ours + other.answer().await.parse::<usize>().unwrap();
    let all = rounds * (TASKS - 2) * WRITES;
    println!("{applied} of {all} writes were applied");
    assert!(applied > all / 100 && applied < all * 99 / 100, "{applied} of {all}: it was a race");
    let survivors: Vec<String> = sqlx::query_scalar(
        "SELECT 'access token ' || convert_from(document, 'UTF8') FROM oauth_as.access_token
         UNION ALL
         SELECT 'refresh token ' || convert_from(document, 'UTF8') FROM oauth_as.refresh_token
         UNION ALL
         SELECT 'pushed request ' || convert_from(document, 'UTF8') FROM oauth_as.pushed_request",
    )
    .fetch_all(&test.pool)
    .await
    .unwrap();
    assert!(survivors.is_empty(), "{} survive: {:#?}", survivors.len(), survivors.first());
    test.assert_no_deadlock().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_writes() {
    let Some(input) = child_input() else { return };
    let [url, rounds] = &input[..] else { panic!("{input:?}") };
    let (storage, _) = connect(url, key()).await;
    println!("answer: ready");
    let step = async || tokio::task::block_in_place(child_step);
    let applied = run_rounds(&storage, "two", rounds.parse().unwrap(), step).await;
    println!("answer: {applied}");
}

/// Revocations that overlap delete the same rows, in one order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_revocations_do_not_wait_in_a_circle() {
    let test = TestStorage::new("overlap").await;
    for round in 0..count(100, 6) {
        let client = client_id(round);
        test.storage.put_consent(consent(&client, &client)).await.unwrap();
        for n in 0..40 {
            let name = format!("{round}-{n}");
            let record = token(&name, &client, &format!("{round}{}", family(n % 4)));
            assert!(test.storage.put_token(record).await.unwrap().is_applied());
        }
        let mut revocations = JoinSet::new();
        for n in 0..6 {
            let (storage, client) = (test.storage.clone(), client.clone());
            revocations.spawn(async move {
                match n {
                    4 => {
                        let client = ClientId::new(client);
                        storage.delete_client(&client, window()).await.unwrap();
                    }
                    5 => {
                        storage.revoke_consent(&client, window()).await.unwrap();
                    }
                    _ => {
                        let family = format!("{round}{}", family(n));
                        storage.revoke_token_family(&family, window()).await.unwrap();
                    }
                }
            });
        }
        revocations.join_all().await;
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_as.access_token")
        .fetch_one(&test.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    test.assert_no_deadlock().await;
}
