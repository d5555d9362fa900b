//! Requests at the same time, in one process and in two, on a real server.
//!
//! By default each runs a part of its count, so that `cargo test` stays short;
//! `OAUTH_STORAGE_TEST_FULL=1` runs the whole.

mod devices;
mod records;
mod revoke;
mod sessions;
mod signing_keys;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, CodeRedemption, GrantStorage as _, GrantStorageExt as _,
    NewAuthorizationCode, PgStorage, RedemptionOutcome, RequestContext, Secret, Settings,
    TokenPair, TokenStorage as _,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::{TestStorage, URI, alice, scope, secret, store_expired_tokens};
use oauth_storage_testbed::other_process::{OtherProcess, child_input, child_step};

const TASKS: usize = 64;

const LIVE_GRANTS: &str =
    "SELECT count(*) FROM oauth_storage.authorization_grant WHERE revoked_at IS NULL";

/// The whole count, or the part of it for a default run.
fn count(full: usize, part: usize) -> usize {
    if std::env::var("OAUTH_STORAGE_TEST_FULL").is_ok_and(|full| full == "1") { full } else { part }
}

async fn storage(url: &str) -> PgStorage {
    let builder = PgStorage::builder().deadline(Duration::from_secs(60));
    builder.connect(url).await.unwrap()
}

fn grace(grace: Duration) -> RequestContext {
    let settings = Settings::default().with_refresh_token_grace(grace);
    RequestContext::default().with_settings(settings)
}

async fn number(test: &TestStorage, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(test.storage.pool()).await.unwrap()
}

/// Asserts that 40P01 never happened. 40001 would have failed a call, and so the test.
async fn assert_no_deadlock(test: &TestStorage) {
    // The counter is written when a session goes idle, or ends.
    test.storage.close().await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(test.database.url()).await.unwrap();
    let deadlocks: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(deadlocks, 0);
}

/// A client, codes of it, and the grant of each.
async fn codes(test: &TestStorage, count: usize) -> (String, Vec<Secret>) {
    let (client_id, _) = test.client().await;
    let mut codes = Vec::new();
    for _ in 0..count {
        let code = Secret::generate().unwrap();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
        let settings =
            Settings::default().with_authorization_code_expires_in(Duration::from_mins(10));
        let request = alice().with_settings(settings);
        test.storage.create_authorization_code(&request, new).await.unwrap();
        codes.push(code);
    }
    (client_id, codes)
}

/// Redeems each code in each of many concurrent tasks. Returns how often each code was issued, and how
/// many requests reported a replay.
async fn redeem_all(
    storage: &PgStorage,
    client_id: &str,
    codes: &[Secret],
    tasks: usize,
    mut step: impl AsyncFnMut(),
) -> (Vec<usize>, usize) {
    let barrier = Arc::new(Barrier::new(tasks + 1));
    let mut racers = JoinSet::new();
    for _ in 0..tasks {
        let (storage, client_id, codes) = (storage.clone(), client_id.to_owned(), codes.to_vec());
        let barrier = barrier.clone();
        racers.spawn(async move {
            let (mut won, mut replays) = (Vec::new(), 0);
            for (index, code) in codes.into_iter().enumerate() {
                let redemption =
                    CodeRedemption::new(&client_id, URI, code).with_refresh_token(true);
                barrier.wait().await;
                let request = RequestContext::default();
                match storage.redeem_authorization_code(&request, redemption).await.unwrap() {
                    RedemptionOutcome::Issued(_) => won.push(index),
                    RedemptionOutcome::Replayed { .. } => replays += 1,
                    // The replay revoked the grant.
                    RedemptionOutcome::Invalid => {}
                }
            }
            (won, replays)
        });
    }
    for _ in codes {
        step().await;
        barrier.wait().await;
    }
    let mut issued = vec![0; codes.len()];
    let mut replays = 0;
    for (won, replayed) in racers.join_all().await {
        replays += replayed;
        won.into_iter().for_each(|index| issued[index] += 1);
    }
    (issued, replays)
}

/// The lead of one process over the other. The last steps are much longer than a statement takes on a
/// busy machine.
fn head_start(step: usize, steps: usize) -> Duration {
    Duration::from_millis(match steps - step {
        0 | 1 => 1_500,
        2 | 3 => 300,
        _ => 20,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_a_code_is_issued_once_on_two_processes_and_the_losers_write_nothing() {
    let test = TestStorage::new("s1").await;
    let (client_id, codes) = codes(&test, count(1000, 100)).await;
    let mut input = vec![test.database.url().to_owned(), client_id.clone()];
    input.extend(codes.iter().map(|code| code.expose().to_owned()));
    let mut other = OtherProcess::start("races::child_redeems", &input).await;
    let storage = storage(test.database.url()).await;
    // Both begin on the same code at once, then each of them first in turn.
    let mut steps = 0;
    let step = async || {
        other.go().await;
        steps += 1;
        if steps % 2 == 1 {
            tokio::time::sleep(head_start(steps, codes.len())).await;
        }
    };
    let (mut issued, replays) = redeem_all(&storage, &client_id, &codes, TASKS / 2, step).await;
    let theirs = other.answer().await;
    let (theirs, their_replays) = theirs.split_once(' ').unwrap();
    for (ours, theirs) in issued.iter_mut().zip(theirs.bytes()) {
        *ours += usize::from(theirs - b'0');
    }
    let replays = replays + their_replays.parse::<usize>().unwrap();

    assert_eq!(issued, vec![1; codes.len()], "each code is issued once");
    assert_eq!(replays, codes.len(), "the first replay of each code revokes its grant");
    let both = theirs.contains('0') && theirs.contains('1');
    assert!(both, "each process won some: the race was one");
    // The winner's pair, and nothing else. It is revoked, because the losers had a valid request.
    assert_eq!(
        number(&test, "SELECT count(*) FROM oauth_storage.token").await,
        2 * i64::try_from(codes.len()).unwrap()
    );
    assert_eq!(number(&test, LIVE_GRANTS).await, 0);
    storage.close().await;
    assert_no_deadlock(&test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_redeems() {
    let Some(input) = child_input() else { return };
    let [url, client_id, codes @ ..] = &input[..] else { panic!("{input:?}") };
    let codes: Vec<Secret> = codes.iter().map(Secret::new).collect();
    let storage = storage(url).await;
    println!("answer: ready");
    // The other process begins first.
    let mut steps = 0;
    let step = async || {
        tokio::task::block_in_place(child_step);
        steps += 1;
        if steps % 2 == 0 {
            tokio::time::sleep(head_start(steps, codes.len())).await;
        }
    };
    let (issued, replays) = redeem_all(&storage, client_id, &codes, TASKS / 2, step).await;
    let issued: String = issued.iter().map(ToString::to_string).collect();
    println!("answer: {issued} {replays}");
}

/// Rotates one token in each of many concurrent tasks.
async fn rotate_all(
    storage: &PgStorage,
    client_id: &str,
    refresh: &Secret,
    request: &RequestContext,
    tasks: usize,
) -> HashMap<&'static str, usize> {
    let barrier = Arc::new(Barrier::new(tasks));
    let mut racers = JoinSet::new();
    for _ in 0..tasks {
        let (storage, request, barrier) = (storage.clone(), request.clone(), barrier.clone());
        let rotation = TokenRotation::new(client_id, refresh.clone());
        racers.spawn(async move {
            barrier.wait().await;
            match storage.rotate_refresh_token(&request, rotation).await.unwrap() {
                RotationOutcome::Issued(_) => "issued",
                RotationOutcome::Reused { .. } => "reused",
                RotationOutcome::Invalid => "invalid",
            }
        });
    }
    let mut outcomes = HashMap::new();
    racers.join_all().await.into_iter().for_each(|o| *outcomes.entry(o).or_default() += 1);
    outcomes
}

async fn pair(test: &TestStorage, client_id: &str) -> (uuid::Uuid, Secret) {
    let tokens = TokenPair::generate().unwrap();
    let refresh = tokens.refresh_token.clone().unwrap();
    let new = NewToken::new(client_id, scope(), tokens);
    let token = test.storage.create_token(&alice(), new).await.unwrap();
    (token.grant_id, refresh)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_a_refresh_token_is_issued_once_of_a_hundred_at_grace_zero() {
    let test = TestStorage::new("s6_race").await;
    let (client_id, _) = test.client().await;
    let storage = storage(test.database.url()).await;
    let tokens = count(1000, 50);
    for _ in 0..tokens {
        let (_, refresh) = pair(&test, &client_id).await;
        let strict = grace(Duration::ZERO);
        let outcomes = rotate_all(&storage, &client_id, &refresh, &strict, 100).await;
        assert_eq!(outcomes.get("issued"), Some(&1), "{outcomes:?}");
        // The first reuse revokes the grant, so the token is invalid afterwards.
        assert_eq!(outcomes.get("reused"), Some(&1), "{outcomes:?}");
    }
    let tokens = i64::try_from(tokens).unwrap();
    assert_eq!(number(&test, "SELECT count(*) FROM oauth_storage.token").await, 4 * tokens);
    assert_eq!(number(&test, LIVE_GRANTS).await, 0);
    storage.close().await;
    assert_no_deadlock(&test).await;
}

/// A hundred tasks share one session and rotate as fast as they can, each the newest token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_the_chain_of_a_session_has_neither_gap_nor_fork() {
    let test = TestStorage::new("s6_chain").await;
    let (client_id, _) = test.client().await;
    let (_, refresh) = pair(&test, &client_id).await;
    let newest = Arc::new(tokio::sync::Mutex::new(refresh));
    let rounds = count(1000, 200);
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let (storage, client_id, newest) =
            (test.storage.clone(), client_id.clone(), newest.clone());
        clients.spawn(async move {
            for _ in 0..rounds / 100 {
                let mut newest = newest.lock().await;
                let rotation = TokenRotation::new(&client_id, newest.clone());
                let request = grace(Duration::ZERO);
                match storage.rotate_refresh_token(&request, rotation).await.unwrap() {
                    RotationOutcome::Issued(issued) => {
                        *newest = issued.tokens.refresh_token.unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    clients.join_all().await;
    // Each token but the newest was rotated, once: as many tokens as rotations, and one.
    let chain = "SELECT count(*) FILTER (WHERE kind = 'r') FROM oauth_storage.token";
    assert_eq!(number(&test, chain).await, i64::try_from(rounds).unwrap() + 1);
    let ends = "SELECT count(*) FROM oauth_storage.token WHERE kind = 'r' AND rotated_at IS NULL";
    assert_eq!((number(&test, ends).await, number(&test, LIVE_GRANTS).await), (1, 1));
    let lives = "SELECT count(DISTINCT expires_at) FROM oauth_storage.token WHERE kind = 'r'";
    assert_eq!(number(&test, lives).await, 1, "S8: one absolute end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_callers_at_the_same_time_inside_the_grace_period_each_get_a_pair() {
    let test = TestStorage::new("s7_race").await;
    let (client_id, _) = test.client().await;
    let storage = storage(test.database.url()).await;
    let (grant_id, refresh) = pair(&test, &client_id).await;
    let lenient = grace(Duration::from_mins(1));
    let outcomes = rotate_all(&storage, &client_id, &refresh, &lenient, 100).await;
    assert_eq!(outcomes, HashMap::from([("issued", 100)]));
    assert_eq!(number(&test, "SELECT count(*) FROM oauth_storage.token").await, 202);
    assert!(test.storage.revoke_grant(grant_id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_ten_thousand_hostile_replays_burn_no_code_and_revoke_no_grant() {
    let test = TestStorage::new("s3_flood").await;
    let storage = storage(test.database.url()).await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let verifier = secret();
    let mut good = Vec::new();
    for _ in 0..TASKS {
        let code = Secret::generate().unwrap();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone())
            .with_code_challenge(CodeChallenge::s256(&verifier));
        storage.create_authorization_code(&alice(), new).await.unwrap();
        let redemption = CodeRedemption::new(&client_id, URI, code);
        good.push(redemption.with_code_verifier(verifier.clone()));
    }
    let expired = Secret::generate().unwrap();
    let settings = Settings::default().with_authorization_code_expires_in(Duration::from_micros(1));
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, expired.clone());
    storage.create_authorization_code(&alice().with_settings(settings), new).await.unwrap();
    // One half was redeemed before, the other is redeemed afterwards.
    let (before, after) = good.split_at(TASKS / 2);
    let redeem_good = async |redemption: &CodeRedemption| {
        let (request, redemption) = (RequestContext::default(), redemption.clone());
        match storage.redeem_authorization_code(&request, redemption).await.unwrap() {
            RedemptionOutcome::Issued(issued) => issued.tokens.access_token,
            other => panic!("{other:?}"),
        }
    };
    let mut issued = Vec::new();
    for redemption in before {
        issued.push(redeem_good(redemption).await);
    }

    let hostile = count(10_000, 1000);
    let mut attackers = JoinSet::new();
    for good in good.clone() {
        let (storage, other_id, expired) = (storage.clone(), other_id.clone(), expired.clone());
        attackers.spawn(async move {
            for n in 0..hostile.div_ceil(TASKS) {
                let mut wrong = good.clone();
                match n % 5 {
                    0 => wrong.code_verifier = Some(secret()),
                    1 => wrong.client_id = other_id.clone(),
                    2 => wrong.redirect_uri = format!("{URI}/{n}"),
                    3 => (wrong.code, wrong.code_verifier) = (expired.clone(), None),
                    _ => wrong.code = Secret::generate().unwrap(),
                }
                let request = RequestContext::default();
                let redeemed = storage.redeem_authorization_code(&request, wrong).await.unwrap();
                assert_eq!(redeemed, RedemptionOutcome::Invalid);
            }
        });
    }
    attackers.join_all().await;
    for redemption in after {
        issued.push(redeem_good(redemption).await);
    }
    for access_token in &issued {
        assert!(storage.introspect(access_token).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_purge_at_once_while_tokens_are_used() {
    let test = TestStorage::new("purge_race").await;
    let (client_id, _) = test.client().await;
    let rows = count(1_000_000, 40_000);
    test.sql(&store_expired_tokens(rows, &client_id)).await;
    let mut purgers = JoinSet::new();
    let connected = Arc::new(Barrier::new(4));
    for _ in 0..4 {
        let (url, connected) = (test.database.url().to_owned(), Arc::clone(&connected));
        purgers.spawn(async move {
            let node = storage(&url).await;
            connected.wait().await;
            node.purge_with(1000, |_| std::ops::ControlFlow::Continue(())).await.unwrap().tokens
        });
    }
    let (_, mut refresh) = pair(&test, &client_id).await;
    for _ in 0..50 {
        let rotation = TokenRotation::new(&client_id, refresh);
        match test.storage.rotate_refresh_token(&RequestContext::default(), rotation).await.unwrap()
        {
            RotationOutcome::Issued(issued) => refresh = issued.tokens.refresh_token.unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let purged = purgers.join_all().await;
    assert_eq!(purged.iter().sum::<u64>(), u64::try_from(rows).unwrap(), "each row once");
    assert!(purged.iter().filter(|&&rows| rows > 0).count() > 1, "shared work: {purged:?}");
    assert_eq!(number(&test, "SELECT count(*) FROM oauth_storage.token").await, 102);
    assert_eq!(number(&test, "SELECT count(*) FROM oauth_storage.authorization_grant").await, 1);
    assert_no_deadlock(&test).await;
}
