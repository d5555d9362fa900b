//! Metrics, and the spans of calls.

mod monitoring;
mod spans;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::postgres::telemetry;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, CodeRedemption, Error, GrantStorage as _, NewAuthorizationCode,
    PgStorage, RedemptionOutcome, Settings, TokenPair, TokenStorage as _,
};
use sqlx::{Connection as _, PgConnection};

use crate::barrier::Barrier;
use crate::support::{TestStorage, URI, alice, eventually, pair, scope, secret};

/// The counted values, by name and labels.
struct Counted(HashMap<String, f64>, HashMap<String, Vec<f64>>);

/// Adds up the snapshots, because taking one resets every metric.
struct Meters {
    snapshotter: Snapshotter,
    seen: Mutex<Counted>,
    _local: metrics::LocalRecorderGuard<'static>,
}

impl Meters {
    /// Installs a recorder of this thread, which the test must not leave.
    fn install() -> Self {
        let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
        Self {
            snapshotter: recorder.snapshotter(),
            seen: Mutex::new(Counted(HashMap::new(), HashMap::new())),
            _local: metrics::set_default_local_recorder(recorder),
        }
    }

    fn take_snapshot(&self) {
        let Counted(values, samples) = &mut *self.seen.lock().unwrap();
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let (kind, key) = (key.kind(), key.key().clone());
            let mut name = key.name().to_owned();
            let mut labels: Vec<_> = key.labels().map(|l| (l.key(), l.value())).collect();
            labels.sort_unstable();
            for (label, value) in labels.into_iter().filter(|(label, _)| *label != "db.system.name")
            {
                name.push_str(&format!(" {label}={value}"));
            }
            match value {
                DebugValue::Counter(n) => {
                    assert_eq!(kind, MetricKind::Counter);
                    *values.entry(name).or_default() += n as f64;
                }
                // The change since the last snapshot.
                DebugValue::Gauge(by) => *values.entry(name).or_default() += by.0,
                DebugValue::Histogram(new) => {
                    samples.entry(name).or_default().extend(new.iter().map(|sample| sample.0));
                }
            }
        }
    }

    fn value(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        self.take_snapshot();
        let seen = self.seen.lock().unwrap();
        seen.0.get(&name(metric, labels)).copied().unwrap_or_default()
    }

    fn samples(&self, metric: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.take_snapshot();
        let seen = self.seen.lock().unwrap();
        seen.1.get(&name(metric, labels)).cloned().unwrap_or_default()
    }

    fn connected(&self, lanes: &str) -> f64 {
        ["idle", "used"]
            .map(|state| {
                let labels = [(telemetry::LANES, lanes), (telemetry::STATE, state)];
                self.value(telemetry::CONNECTED_LANES, &labels)
            })
            .iter()
            .sum()
    }
}

fn name(metric: &str, labels: &[(&str, &str)]) -> String {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    labels.iter().fold(metric.to_owned(), |name, (label, value)| format!("{name} {label}={value}"))
}

#[tokio::test]
async fn replays_and_revocations_are_counted() {
    let meters = Meters::install();
    let test = TestStorage::new("metrics_revocations").await;
    let (client_id, _) = test.client().await;
    let storage = &test.storage;
    let replays = |credential| {
        let of = [(telemetry::CREDENTIAL, credential)];
        meters.value(telemetry::REPLAYS, &of)
    };
    let revoked = |operation| {
        let of = [(telemetry::OPERATION, operation)];
        meters.value(telemetry::REVOCATIONS, &of)
    };
    let no_grace =
        alice().with_settings(Settings::default().with_refresh_token_grace(Duration::ZERO));
    let mut redeemed = Vec::new();
    for _ in 0..2 {
        let code = secret();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
        storage.create_authorization_code(&alice(), new).await.unwrap();
        let redemption = CodeRedemption::new(&client_id, URI, code).with_refresh_token(true);
        let outcome = storage.redeem_authorization_code(&no_grace, redemption.clone()).await;
        let RedemptionOutcome::Issued(issued) = outcome.unwrap() else { panic!("not issued") };
        redeemed.push((redemption, issued.tokens.refresh_token.unwrap()));
    }
    let rotation = TokenRotation::new(&client_id, redeemed[0].1.clone());
    let outcome = storage.rotate_refresh_token(&no_grace, rotation.clone()).await.unwrap();
    assert!(matches!(outcome, RotationOutcome::Issued(_)));
    assert_eq!((replays("authorization_code"), replays("refresh_token")), (0.0, 0.0));
    let outcome = storage.rotate_refresh_token(&no_grace, rotation).await.unwrap();
    assert!(matches!(outcome, RotationOutcome::Reused { .. }));
    assert_eq!((replays("authorization_code"), replays("refresh_token")), (0.0, 1.0));
    let redemption = redeemed[1].0.clone();
    let outcome = storage.redeem_authorization_code(&no_grace, redemption).await.unwrap();
    assert!(matches!(outcome, RedemptionOutcome::Replayed { .. }));
    assert_eq!((replays("authorization_code"), replays("refresh_token")), (1.0, 1.0));

    let mut grants = Vec::new();
    for _ in 0..7 {
        let new = NewToken::new(&client_id, scope(), TokenPair::generate().unwrap());
        grants.push(storage.create_token(&alice(), new).await.unwrap().grant_id);
    }
    assert!(storage.revoke_grant(grants[0]).await.unwrap());
    assert!(!storage.revoke_grant(grants[0]).await.unwrap());
    assert!(storage.revoke_grant_of("alice", grants[1]).await.unwrap());
    assert_eq!(storage.revoke_grants_of("alice", &client_id).await.unwrap(), 5);
    for _ in 0..2 {
        let new = NewToken::new(&client_id, scope(), TokenPair::generate().unwrap());
        storage.create_token(&alice(), new).await.unwrap();
    }
    assert_eq!(storage.revoke_subject("alice").await.unwrap(), 2);
    assert_eq!(storage.revoke_client(&client_id).await.unwrap(), 0);
    for (operation, grants) in [
        ("revoke_grant", 1.0),
        ("revoke_grant_of", 1.0),
        ("revoke_grants_of", 5.0),
        ("revoke_subject", 2.0),
        ("revoke_client", 0.0),
    ] {
        assert_eq!(revoked(operation), grants, "{operation}");
    }
}

#[tokio::test]
async fn calls_errors_and_latency_are_counted_by_operation() {
    let meters = Meters::install();
    let test = TestStorage::new("metrics_calls").await;
    let (client_id, _) = test.client().await;
    let (token, storage) = (secret(), &test.storage);
    let new = NewToken::new(&client_id, scope(), TokenPair::new(token.clone()));
    storage.create_token(&alice(), new.clone()).await.unwrap();
    storage.create_token(&alice(), new).await.unwrap_err();
    for _ in 0..3 {
        storage.get_token(&alice(), &client_id, TokenRef::Access(&token)).await.unwrap().unwrap();
    }
    // On a pooled connection, and in the application's transaction.
    storage.list_grants("alice", None, 10).await.unwrap();
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    storage.with_connection(&mut connection).list_grants("alice", None, 10).await.unwrap();
    assert_eq!(storage.revoke_subject("alice").await.unwrap(), 1);

    let calls = [
        ("register_client", 1.0),
        ("create_token", 2.0),
        ("get_token", 3.0),
        ("list_grants", 2.0),
        ("revoke_subject", 1.0),
        ("introspect", 0.0),
    ];
    for (operation, times) in calls {
        let of = [(telemetry::OPERATION, operation)];
        assert_eq!(meters.value(telemetry::CALLS, &of), times, "{operation}");
        let failed = if operation == "create_token" { 1.0 } else { 0.0 };
        let invalid = [of[0], (telemetry::ERROR, "invalid")];
        assert_eq!(meters.value(telemetry::ERRORS, &invalid), failed, "{operation}");
        let took = meters.samples(telemetry::OPERATION_DURATION, &of);
        assert_eq!(took.len() as f64, times - failed, "{operation}");
        assert!(took.iter().all(|seconds| (1e-5..5.0).contains(seconds)), "{operation}: {took:?}");
        let took = meters.samples(telemetry::OPERATION_DURATION, &invalid);
        assert_eq!(took.len() as f64, failed, "{operation}");
    }
}

#[tokio::test]
async fn a_dropped_call_and_a_full_queue_are_counted_as_errors() {
    let meters = Meters::install();
    let test = TestStorage::with("metrics_errors", PgStorage::builder().lanes(1).queue(1)).await;
    let (client_id, _) = test.client().await;
    let tokens = pair();
    let new = NewToken::new(&client_id, scope(), tokens.clone());
    test.storage.create_token(&alice(), new).await.unwrap();
    let barrier = Barrier::at_lookups(&test, "token").await;
    let find = || {
        let (storage, id) = (test.storage.clone(), client_id.clone());
        let token = tokens.access_token.clone();
        tokio::spawn(async move {
            storage.get_token(&alice(), &id, TokenRef::Any(&token)).await.map(drop)
        })
    };
    let read = [(telemetry::LANES, "read")];
    let waiting = || meters.value(telemetry::QUEUE_LENGTH, &read);
    let used = [read[0], (telemetry::STATE, "used")];
    let at_work = find();
    eventually("a lane is busy", async || {
        meters.value(telemetry::CONNECTED_LANES, &used) == 1.0 && waiting() == 0.0
    })
    .await;
    let queued = find();
    eventually("the next call waits", async || waiting() == 1.0).await;
    let refused = find().await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::Overloaded { .. }), "{refused:?}");
    at_work.abort();
    assert!(at_work.await.unwrap_err().is_cancelled());
    barrier.release().await;
    queued.await.unwrap().unwrap();

    let error = |kind| {
        let of = [(telemetry::OPERATION, "get_token"), (telemetry::ERROR, kind)];
        meters.value(telemetry::ERRORS, &of)
    };
    assert_eq!((error("overloaded"), error("cancelled")), (1.0, 1.0));
    assert_eq!(meters.value(telemetry::CALLS, &[(telemetry::OPERATION, "get_token")]), 3.0);
    assert_eq!(waiting(), 0.0);
    eventually("no lane is busy", async || meters.value(telemetry::CONNECTED_LANES, &used) == 0.0)
        .await;
}

#[tokio::test]
async fn callers_at_the_same_time_make_a_batch_and_leave_the_queue_empty() {
    let meters = Meters::install();
    let test = TestStorage::new("metrics_batches").await;
    let (client_id, _) = test.client().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (storage, id) = (test.storage.clone(), client_id.clone());
        callers.spawn(async move {
            let token = secret();
            let new = NewToken::new(&id, scope(), TokenPair::new(token.clone()));
            storage.create_token(&alice(), new).await.unwrap();
            assert!(storage.introspect(&token).await.unwrap().is_some());
        });
    }
    callers.join_all().await;
    for operation in ["create_token", "find_token"] {
        let sizes = meters.samples(telemetry::BATCH_SIZE, &[(telemetry::OPERATION, operation)]);
        assert_eq!(sizes.iter().sum::<f64>(), 64.0, "{operation}: {sizes:?}");
        assert!(sizes.iter().any(|size| *size > 1.0), "{operation}: {sizes:?}");
    }
    for lanes in ["read", "write"] {
        assert_eq!(meters.value(telemetry::QUEUE_LENGTH, &[(telemetry::LANES, lanes)]), 0.0);
    }
}

#[tokio::test]
async fn lanes_are_counted_when_they_connect_break_and_end() {
    let meters = Meters::install();
    let test = TestStorage::with("metrics_lanes", PgStorage::builder()).await;
    eventually("two lanes each", async || {
        meters.connected("read") == 2.0 && meters.connected("write") == 2.0
    })
    .await;
    let broken = |lanes| meters.value(telemetry::BROKEN_LANES, &[(telemetry::LANES, lanes)]);
    assert_eq!((broken("read"), broken("write")), (0.0, 0.0));

    let name = test.database.name();
    // From another database, because this one accepts no connections any more.
    let (server, _) = test.database.url().rsplit_once('/').unwrap();
    let mut admin = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    for sql in [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    }
    // A lane notices when it is used.
    test.storage.introspect(&secret()).await.unwrap_err();
    eventually("the read lanes are disconnected", async || {
        let _ = test.storage.introspect(&secret()).await;
        meters.connected("read") == 0.0
    })
    .await;
    assert_eq!(broken("read"), 2.0);

    let allow = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    sqlx::raw_sql(sqlx::AssertSqlSafe(allow)).execute(&mut admin).await.unwrap();
    eventually("they are back", async || meters.connected("read") == 2.0).await;
    test.storage.close().await;
    eventually("they end", async || {
        meters.connected("read") == 0.0 && meters.connected("write") == 0.0
    })
    .await;
    assert_eq!(broken("read"), 2.0, "an end is no break");
}
