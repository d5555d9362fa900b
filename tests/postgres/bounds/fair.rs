//! S21: no caller makes others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    Error, GrantStorage as _, PgStorage, RequestContext, Scope, Secret, Settings, TokenStorage as _,
};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::support::{TestStorage, alice, digest, pair, scope};

/// The number of calls that sixteen writers make in this time, and the longest of them.
async fn writers(storage: &PgStorage, client_id: &str, time: Duration) -> (usize, Duration) {
    let until = Instant::now() + time;
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let (storage, client_id) = (storage.clone(), client_id.to_owned());
        writers.spawn(async move {
            let (mut calls, mut longest) = (0, Duration::ZERO);
            while Instant::now() < until {
                let new = NewToken::new(&client_id, scope(), pair());
                let started = Instant::now();
                storage.create_token(&alice(), new).await.unwrap();
                longest = longest.max(started.elapsed());
                calls += 1;
            }
            (calls, longest)
        });
    }
    let each = writers.join_all().await;
    (each.iter().map(|one| one.0).sum(), each.iter().map(|one| one.1).max().unwrap_or_default())
}

/// Callers that continue until `stop` is set, and a transaction that they wait for.
struct Disturbance {
    callers: JoinSet<()>,
    stop: Arc<AtomicBool>,
    holder: Option<PgConnection>,
}

impl Disturbance {
    fn new() -> Self {
        Self { callers: JoinSet::new(), stop: Arc::new(AtomicBool::new(false)), holder: None }
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(holder) = self.holder {
            holder.close().await.unwrap();
        }
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
    }
}

/// Asserts that the writers make at least this share of the calls that they make alone, and that no
/// call waits a second. A busy machine gets three attempts; the benchmark requires more, on an idle one.
async fn are_not_kept_waiting(
    test: &TestStorage,
    what: &str,
    share: f64,
    mut begin: impl AsyncFnMut() -> Disturbance,
) {
    let (client_id, _) = test.client().await;
    let time = Duration::from_secs(1);
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let (alone, _) = writers(&test.storage, &client_id, time).await;
        let disturbance = begin().await;
        let (disturbed, longest) = writers(&test.storage, &client_id, time).await;
        disturbance.end().await;
        attempts.push((disturbed, alone, longest));
        if disturbed as f64 >= alone as f64 * share && longest < Duration::from_secs(1) {
            println!("{what}: {attempts:?}");
            return;
        }
    }
    panic!("{what}: calls disturbed and alone, the longest: {attempts:?}");
}

async fn new(label: &str) -> (TestStorage, String) {
    let builder = PgStorage::builder().deadline(Duration::from_secs(20));
    let test = TestStorage::with(label, builder).await;
    let (client_id, _) = test.client().await;
    (test, client_id)
}

async fn refresh_token(test: &TestStorage, client_id: &str) -> Secret {
    let tokens = pair();
    let new = NewToken::new(client_id, scope(), tokens.clone());
    test.storage.create_token(&alice(), new).await.unwrap();
    tokens.refresh_token.unwrap()
}

/// Callers that rotate one refresh token again and again, within its grace period.
fn rotate_on(
    test: &TestStorage,
    client_id: &str,
    refresh: &Secret,
    callers: usize,
    disturbance: &mut Disturbance,
) {
    let settings = Settings::default().with_refresh_token_grace(Duration::from_mins(1));
    let request = RequestContext::default().with_settings(settings);
    for _ in 0..callers {
        let (storage, request) = (test.storage.clone(), request.clone());
        let stop = Arc::clone(&disturbance.stop);
        let rotation = TokenRotation::new(client_id, refresh.clone());
        disturbance.callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match storage.rotate_refresh_token(&request, rotation.clone()).await {
                    Ok(_) | Err(Error::Overloaded { .. } | Error::Unavailable { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
}

/// An application's transaction locks the rows of as many refresh tokens as there are lanes, and two
/// callers retry each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_locked_row_delays_only_its_own_callers() {
    let (test, client_id) = new("s21_row").await;
    are_not_kept_waiting(&test, "locked rows", 0.4, async || {
        let mut disturbance = Disturbance::new();
        let mut holder = PgConnection::connect(test.database.url()).await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
        for _ in 0..2 {
            let refresh = refresh_token(&test, &client_id).await;
            sqlx::query("SELECT FROM oauth_storage.token WHERE digest = $1 FOR UPDATE")
                .bind(digest(&refresh).0)
                .execute(&mut holder)
                .await
                .unwrap();
            rotate_on(&test, &client_id, &refresh, 2, &mut disturbance);
        }
        disturbance.holder = Some(holder);
        disturbance
    })
    .await;
}

/// A call that left the lanes runs when the row is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_call_that_waits_for_a_row_runs_when_it_is_free() {
    let (test, client_id) = new("s21_waits").await;
    let refresh = refresh_token(&test, &client_id).await;
    let mut application = PgConnection::connect(test.database.url()).await.unwrap();
    let hold = "BEGIN; SELECT FROM oauth_storage.token FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut application).await.unwrap();
    let (storage, rotation) = (test.storage.clone(), TokenRotation::new(&client_id, refresh));
    let waits = tokio::spawn(async move { storage.rotate_refresh_token(&alice(), rotation).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waits.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut application).await.unwrap();
    let outcome = waits.await.unwrap().unwrap();
    assert!(matches!(outcome, RotationOutcome::Issued(_)), "{outcome:?}");
}

/// However many callers present one token, the queue accepts other calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_callers_of_one_token_do_not_fill_the_queue() {
    let builder = PgStorage::builder().queue(8).deadline(Duration::from_secs(20));
    let test = TestStorage::with("s21_full", builder).await;
    let (client_id, _) = test.client().await;
    let refresh = refresh_token(&test, &client_id).await;
    let mut application = PgConnection::connect(test.database.url()).await.unwrap();
    let hold = "BEGIN; SELECT FROM oauth_storage.token FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut application).await.unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..30 {
        let (storage, rotation) =
            (test.storage.clone(), TokenRotation::new(&client_id, refresh.clone()));
        callers.spawn(async move { storage.rotate_refresh_token(&alice(), rotation).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..20 {
        let new = NewToken::new(&client_id, scope(), pair());
        test.storage.create_token(&alice(), new).await.unwrap();
    }
    sqlx::raw_sql("COMMIT").execute(&mut application).await.unwrap();
    let outcomes = callers.join_all().await;
    let refused = outcomes.iter().filter(|o| matches!(o, Err(Error::Overloaded { .. }))).count();
    assert_eq!(refused, 30 - 9, "one runs, and eight are queued");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_thousand_callers_of_one_token_use_one_slot() {
    let (test, client_id) = new("s21_callers").await;
    are_not_kept_waiting(&test, "1,024 callers of one token", 0.3, async || {
        let mut disturbance = Disturbance::new();
        let refresh = refresh_token(&test, &client_id).await;
        rotate_on(&test, &client_id, &refresh, 1_024, &mut disturbance);
        disturbance
    })
    .await;
}

/// A hundred scope tokens, each as long as the whole may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_the_largest_scope_costs_the_others_little() {
    let (test, client_id) = new("s21_scope").await;
    let largest: Scope =
        (0..100).map(|n| format!("{n:039}")).collect::<Vec<_>>().join(" ").parse().unwrap();
    let narrower: Scope =
        (0..99).map(|n| format!("{n:039}")).collect::<Vec<_>>().join(" ").parse().unwrap();
    are_not_kept_waiting(&test, "the largest scope", 0.15, async || {
        let mut disturbance = Disturbance::new();
        for _ in 0..64 {
            let tokens = pair();
            let new = NewToken::new(&client_id, largest.clone(), tokens.clone());
            test.storage.create_token(&alice(), new).await.unwrap();
            let (storage, narrower) = (test.storage.clone(), narrower.clone());
            let (client_id, stop) = (client_id.clone(), Arc::clone(&disturbance.stop));
            disturbance.callers.spawn(async move {
                let mut refresh = tokens.refresh_token.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let rotation =
                        TokenRotation::new(&client_id, refresh).with_scope(narrower.clone());
                    let outcome = storage.rotate_refresh_token(&alice(), rotation).await.unwrap();
                    let RotationOutcome::Issued(issued) = outcome else { panic!("{outcome:?}") };
                    refresh = issued.tokens.refresh_token.unwrap();
                    // As fast as a client that waits for its responses, not as fast as possible.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        disturbance
    })
    .await;
}

/// Two grants with many rotations each are revoked, over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_revoking_the_largest_grants_delays_no_other_call() {
    let (test, client_id) = new("s21_grants").await;
    are_not_kept_waiting(&test, "two large revocations", 0.4, async || {
        let mut disturbance = Disturbance::new();
        for _ in 0..2 {
            let new = NewToken::new(&client_id, scope(), pair());
            let grant_id = test.storage.create_token(&alice(), new).await.unwrap().grant_id;
            test.sql(&format!(
                "INSERT INTO oauth_storage.token
                     (issued_at, expires_at, rotated_at, grant_id, digest, digest_tail, kind)
                 SELECT now(), now() + interval '90 days', now(), '{grant_id}', gen_random_uuid(),
                     gen_random_uuid(), 'r' FROM generate_series(1, 100000) n;
                 ANALYZE oauth_storage.token"
            ))
            .await;
            let (storage, stop) = (test.storage.clone(), Arc::clone(&disturbance.stop));
            disturbance.callers.spawn(async move {
                assert!(storage.revoke_grant(grant_id).await.unwrap());
                while !stop.load(Ordering::Relaxed) {
                    assert!(!storage.revoke_grant(grant_id).await.unwrap());
                }
            });
        }
        disturbance
    })
    .await;
}
