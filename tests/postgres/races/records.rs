//! Short-lived records on two processes: claimed, taken and changed exactly once.

use std::time::Duration;

use oauth_storage::pending_request::NewPendingRequest;
use oauth_storage::pushed_request::NewPushedRequest;
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::{PendingRequestStorage as _, PgStorage, PushedRequestStorage as _};
use oauth_storage::{ReplayStorage as _, Secret};
use serde_json::Map;
use tokio::task::JoinSet;

use super::{TASKS, assert_no_deadlock, count, storage};
use crate::support::TestStorage;
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

const CLIENT: &str = "s6BhdRkqt3";
const HOUR: Duration = Duration::from_hours(1);

/// The numbers of claims, pushed requests, changes and pending requests that one process won.
type Won = [usize; 4];

/// Claims, takes, changes and resumes each record in each of many concurrent tasks.
async fn win_all(storage: &PgStorage, pushed: &[String], pending: &[String]) -> Won {
    let mut racers = JoinSet::new();
    for _ in 0..TASKS / 2 {
        let (storage, pushed, pending) = (storage.clone(), pushed.to_vec(), pending.to_vec());
        racers.spawn(async move {
            let mut won = [0; 4];
            for (n, (uri, id)) in pushed.iter().zip(&pending).enumerate() {
                let claim = Claim::new("races", n.to_string(), HOUR);
                won[0] += usize::from(storage.claim(claim).await.unwrap() == ClaimOutcome::First);
                let taken = storage.take_pushed_request(CLIENT, uri).await.unwrap();
                won[1] += usize::from(taken.is_some());
                let id = Secret::new(id.as_str());
                if let Some(found) = storage.find_pending_request(&id).await.unwrap()
                    && found.version == 0
                {
                    let changed = storage.change_pending_request(&id, found).await.unwrap();
                    won[2] += usize::from(changed);
                }
            }
            for id in &pending {
                let resumed = storage.resume_request(&Secret::new(id.as_str())).await.unwrap();
                won[3] += usize::from(resumed.is_some());
            }
            won
        });
    }
    let mut sum = [0; 4];
    for won in racers.join_all().await {
        sum.iter_mut().zip(won).for_each(|(sum, won)| *sum += won);
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_claimed_and_taken_once_on_two_processes() {
    let test = TestStorage::new("records").await;
    let storage = storage(test.database.url()).await;
    let records = count(1_000, 100);
    let (mut pushed, mut pending) = (Vec::new(), Vec::new());
    for _ in 0..records {
        let new = NewPushedRequest::new(CLIENT, Map::new()).with_expires_in(HOUR);
        pushed.push(storage.push_request(new).await.unwrap().request_uri);
        let new = NewPendingRequest::new(Map::new(), HOUR).unwrap();
        pending.push(new.id.expose().to_owned());
        storage.suspend_request(new).await.unwrap();
    }
    let mut input = vec![test.database.url().to_owned()];
    input.extend(pushed.iter().chain(&pending).cloned());
    let mut other = OtherProcess::start("races::records::child_wins_records", &input).await;
    other.go().await;
    let ours = win_all(&storage, &pushed, &pending).await;
    let theirs = other.answer().await;
    let theirs: Vec<usize> = theirs.split(' ').map(|number| number.parse().unwrap()).collect();
    for (what, (ours, theirs)) in
        ["claims", "takes", "changes", "resumes"].iter().zip(ours.iter().zip(&theirs))
    {
        assert_eq!(ours + theirs, records, "{what}: {ours} here, {theirs} there");
    }
    assert!(ours[0] > 0 && theirs[0] > 0, "a race: {ours:?}, {theirs:?}");
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_wins_records() {
    let Some(input) = child_input() else { return };
    let [url, records @ ..] = &input[..] else { panic!("{input:?}") };
    let (pushed, pending) = records.split_at(records.len() / 2);
    let storage = storage(url).await;
    println!("answer: ready");
    tokio::task::block_in_place(child_step);
    let won = win_all(&storage, pushed, pending).await;
    println!("answer: {}", won.map(|won| won.to_string()).join(" "));
}
