//! The connections of lanes: opening, replacing and closing them.

use std::time::{Duration, Instant};

use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{Error, GrantStorage as _, PgStorage, Secret, TokenPair, TokenStorage as _};
use sqlx::{Connection as _, PgConnection};

use crate::barrier::Barrier;
use crate::support::{TestStorage, access_token, alice, eventually, run_sql, scope, secret};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminated_connections_are_replaced() {
    let test = TestStorage::new("lanes_die").await;
    let (client_id, _) = test.client().await;
    let (storage, find) = (&test.storage, secret());
    let kill = async || {
        test.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    };
    // A read is retried automatically. After an idle time the lane notices the loss before it sends a
    // write.
    for idle in [Duration::ZERO, Duration::from_secs(3)] {
        storage
            .create_token(&alice(), NewToken::new(&client_id, scope(), access_token()))
            .await
            .unwrap();
        tokio::time::sleep(idle).await;
        kill().await;
        let find = TokenRef::Access(&find);
        storage.get_token(&alice(), &client_id, find).await.unwrap();
        let new = || NewToken::new(&client_id, scope(), access_token());
        match storage.create_token(&alice(), new()).await {
            Ok(_) => {}
            Err(Error::OutcomeUnknown { .. }) if idle.is_zero() => {
                eventually("writes work again", async || {
                    storage.create_token(&alice(), new()).await.is_ok()
                })
                .await;
            }
            Err(other) => panic!("after {idle:?}: {other:?}"),
        }
    }
}

async fn sessions(test: &TestStorage) -> Vec<i32> {
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let sessions = "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'oauth-storage'";
    sqlx::query_scalar(sessions).fetch_all(&mut connection).await.unwrap()
}

/// The URL of another database of the server.
fn server(test: &TestStorage) -> String {
    let mut url = url::Url::parse(test.database.url()).unwrap();
    url.set_path("postgres");
    url.into()
}

async fn allow_connections(test: &TestStorage, allow: bool) {
    let name = test.database.name();
    run_sql(&server(test), &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}")).await;
}

/// Each lane reconnects in time, idle or busy, and no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_outlives_its_lifetime() {
    let builder = PgStorage::builder().lanes(1).max_lifetime(Duration::from_secs(1));
    let builder = builder.deadline(Duration::from_mins(1));
    let test = TestStorage::with("lanes_lifetime", builder).await;
    let (client_id, _) = test.client().await;
    let replaced = async || {
        let mut before = Vec::new();
        eventually("both lanes have a session", async || {
            before = sessions(&test).await;
            before.len() >= 2
        })
        .await;
        eventually("both sessions are replaced", async || {
            let now = sessions(&test).await;
            now.len() >= 2 && !now.iter().any(|pid| before.contains(pid))
        })
        .await;
    };
    // Idle.
    replaced().await;
    // Always busy: more callers than a batch.
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..600 {
        let (storage, id) = (test.storage.clone(), client_id.clone());
        callers.spawn(async move {
            loop {
                let new = NewToken::new(&id, scope(), access_token());
                storage.create_token(&alice(), new).await.unwrap();
            }
        });
    }
    replaced().await;
    assert!(callers.try_join_next().is_none(), "a call failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_kept_if_no_new_one_can_be_opened() {
    let builder = PgStorage::builder().lanes(1).max_lifetime(Duration::from_secs(1));
    let test = TestStorage::with("lanes_old", builder).await;
    let (client_id, _) = test.client().await;
    allow_connections(&test, false).await;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let access = secret();
        let new = NewToken::new(&client_id, scope(), TokenPair::new(access.clone()));
        test.storage.create_token(&alice(), new).await.unwrap();
        assert!(test.storage.introspect(&access).await.unwrap().is_some());
    }
    allow_connections(&test, true).await;
}

/// Even if the lane has no connection at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_queued_when_the_storage_is_closed_still_run() {
    let builder = PgStorage::builder().lanes(1).deadline(Duration::from_secs(20));
    let test = TestStorage::with("lanes_close", builder).await;
    test.storage.introspect(&secret()).await.unwrap();
    allow_connections(&test, false).await;
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = ";
    run_sql(&server(&test), &format!("{ended}'{}'", test.database.name())).await;
    let storage = test.storage.clone();
    let waits = tokio::spawn(async move { storage.introspect(&secret()).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    test.storage.close().await;
    allow_connections(&test, true).await;
    assert_eq!(waits.await.unwrap().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_open_no_more_connections_and_close_ends_them() {
    let test = TestStorage::new("lanes_storm").await;
    let (client_id, _) = test.client().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..256 {
        let (storage, id) = (test.storage.clone(), client_id.clone());
        callers.spawn(async move {
            let access = secret();
            let new = NewToken::new(&id, scope(), TokenPair::new(access.clone()));
            storage.create_token(&alice(), new).await.unwrap();
            assert!(storage.introspect(&access).await.unwrap().is_some());
        });
    }
    callers.join_all().await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let opened: i64 = sqlx::query_scalar(open).fetch_one(&mut connection).await.unwrap();
    assert!(opened <= 8, "{opened} connections: four lanes and the side pool");
    test.storage.close().await;
    eventually("every connection is closed", async || {
        sqlx::query_scalar::<_, i64>(open).fetch_one(&mut connection).await.unwrap() == 0
    })
    .await;
    let error = test.storage.introspect(&secret()).await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
}

/// The lane finds its connection closed before it sends anything, and queues the call again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requeued_call_that_was_not_sent_changed_nothing() {
    let builder = PgStorage::builder().lanes(1).deadline(Duration::from_secs(3));
    let test = TestStorage::with("lanes_put_back", builder).await;
    let (client_id, _) = test.client().await;
    let create = async |access: &Secret| {
        let new = NewToken::new(&client_id, scope(), TokenPair::new(access.clone()));
        test.storage.create_token(&alice(), new).await
    };
    create(&secret()).await.unwrap();
    allow_connections(&test, false).await;
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = ";
    run_sql(&server(&test), &format!("{ended}'{}'", test.database.name())).await;
    // Long enough that the lane pings its connection before the next write.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let access = secret();
    let error = create(&access).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    allow_connections(&test, true).await;
    eventually("writes work again", async || create(&secret()).await.is_ok()).await;
    assert_eq!(test.storage.introspect(&access).await.unwrap(), None);
}

/// A storage whose runtime ends, with calls that wait at that moment and one that follows.
#[test]
fn calls_fail_at_once_after_the_runtime_has_ended() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let test = first.block_on(async {
        let builder = PgStorage::builder().lanes(1).deadline(Duration::from_secs(20));
        let test = TestStorage::with("lanes_runtime", builder).await;
        let (client_id, _) = test.client().await;
        let stored = secret();
        let new = NewToken::new(client_id, scope(), TokenPair::new(stored.clone()));
        test.storage.create_token(&alice(), new).await.unwrap();
        (test, stored)
    });
    let (test, stored) = test;
    let barrier = first.block_on(Barrier::at_lookups(&test, "token"));
    let call = || {
        let (storage, stored) = (test.storage.clone(), stored.clone());
        second.spawn(async move { storage.introspect(&stored).await })
    };
    let sent = call();
    second.block_on(barrier.wait_for(1));
    let waits: Vec<_> = (0..3).map(|_| call()).collect();
    second.block_on(async { tokio::time::sleep(Duration::from_millis(200)).await });
    let started = Instant::now();
    drop(first);
    second.block_on(async {
        let error = sent.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        for waits in waits {
            let error = waits.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
        }
        let error = test.storage.introspect(&secret()).await.unwrap_err();
        assert!(error.to_string().contains("runtime"), "{error}");
        assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        barrier.release().await;
        drop(barrier);
    });
    drop(test);
}
