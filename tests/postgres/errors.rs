//! Each kind of failure has its own error, which advises the caller.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth_storage::error::{Advice, SchemaProblem};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    ClientRegistry as _, ClientStorage as _, Error, GrantStorage as _, GrantStorageExt as _,
    IdTokenStorage as _, PgStorage, RequestContext, Secret, TokenPair, TokenStorage as _,
    UserStorage as _,
};
use sqlx::{Connection as _, PgConnection};

use crate::support::{
    TestStorage, access_token, alice, database, eventually, run_sql, scope, secret,
    store_expired_tokens, store_grants, unique, url_as,
};

#[tokio::test]
async fn a_wrong_url_is_a_configuration_error_and_shows_no_password() {
    for url in ["postgres://u:hunter2@host:notaport/db", "hunter2", "mysql://u:hunter2@h/db"] {
        let error = PgStorage::connect(url).await.unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_at_once() {
    let started = std::time::Instant::now();
    let builder = PgStorage::builder().deadline(Duration::from_mins(1));
    // Port 1 is never a PostgreSQL.
    let error = builder.connect("postgres://u:hunter2@127.0.0.1:1/db").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::Retry);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "not by trying until the deadline");
}

#[tokio::test]
async fn a_silent_server_is_unavailable_at_the_deadline() {
    // It accepts the connection, and sends nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@{}/db", listener.local_addr().unwrap());
    let builder = PgStorage::builder().deadline(Duration::from_millis(200));
    let error = builder.connect(&url).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_or_role_that_does_not_exist_is_a_configuration_error() {
    let database = database("errors_login").await;
    let nobody = url_as(database.url(), "oauth_storage_nobody", "pw");
    let (server, _) = database.url().rsplit_once('/').unwrap();
    let nowhere = format!("{server}/oauth_storage_nowhere");
    for url in [nobody, nowhere] {
        let error = PgStorage::connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
        assert_eq!(error.advice(), Advice::CallOperator);
    }
}

#[tokio::test]
async fn errors_of_a_missing_and_an_older_schema_name_migrate() {
    let database = database("errors_schema").await;
    let storage = PgStorage::connect(database.url()).await.unwrap();
    let lookup = async || {
        let token = secret();
        storage.get_token(&alice(), "c", TokenRef::Any(&token)).await.unwrap_err()
    };
    let error = lookup().await;
    assert!(matches!(error, Error::Schema(SchemaProblem::Missing)), "{error:?}");
    assert!(error.to_string().contains("storage.migrate()"), "{error}");

    storage.migrate().await.unwrap();
    run_sql(database.url(), "ALTER TABLE oauth_storage.authorization_grant DROP COLUMN context")
        .await;
    let error = lookup().await;
    assert!(matches!(error, Error::Schema(SchemaProblem::Older { .. })), "{error:?}");
    assert!(error.to_string().contains("storage.migrate()"), "{error}");
}

#[tokio::test]
async fn a_missing_right_is_reported_with_its_table() {
    let test = TestStorage::new("errors_rights").await;
    let role = unique("reader");
    test.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA oauth_storage TO {role}"
    ))
    .await;
    let url = url_as(test.database.url(), &role, "pw");
    let storage = PgStorage::connect(&url).await.unwrap();
    let error = storage.get_client(&RequestContext::default(), "c", None).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    assert!(error.to_string().contains("client"), "{error}");
    drop(storage);
    test.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_missing_part_is_a_configuration_error() {
    let database = database("errors_parts").await;
    let storage = PgStorage::connect(database.url()).await.unwrap();
    let error = storage.authenticate("alice", &Secret::new("wonderland")).await.unwrap_err();
    assert!(error.to_string().contains("users("), "{error}");
    let scope = scope();
    let new = NewIdToken::new("c", &scope).at_token_endpoint();
    let error = storage.get_id_token(&alice(), new).await.unwrap_err();
    assert!(error.to_string().contains("id_tokens("), "{error}");
    assert_eq!(error.advice(), Advice::CallOperator);
}

/// Holds a lock that every use of the token table waits for.
async fn lock_tokens(test: &TestStorage) -> PgConnection {
    let mut locker = PgConnection::connect(test.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE oauth_storage.token").execute(&mut locker).await.unwrap();
    locker
}

/// On the storage's own connections the statement timeout is shorter than the deadline, so nothing
/// takes effect after the error.
#[tokio::test]
async fn the_server_times_out_before_the_deadline_and_changes_nothing() {
    let builder = PgStorage::builder().deadline(Duration::from_secs(2));
    let test = TestStorage::with("errors_timeout", builder).await;
    let (client_id, _) = test.client().await;
    let locker = lock_tokens(&test).await;
    let token = secret();
    let find = TokenRef::Access(&token);
    let new = NewToken::new(&client_id, scope(), TokenPair::new(token.clone()));
    let alice = alice();
    let (read, write) = tokio::join!(
        test.storage.get_token(&alice, &client_id, find),
        test.storage.create_token(&alice, new),
    );
    for error in [read.unwrap_err(), write.unwrap_err()] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert_eq!(error.advice(), Advice::Retry);
    }
    locker.close().await.unwrap();
    let found = test.storage.get_token(&alice, &client_id, find).await.unwrap();
    assert_eq!(found, None, "nothing was stored, nor will be");
}

/// On the application's pool the server continues after the deadline, so the outcome of a write is
/// unknown.
#[tokio::test]
async fn past_the_deadline_a_read_may_be_retried_and_a_write_is_unknown() {
    let test = TestStorage::new("errors_deadline").await;
    let (client_id, _) = test.client().await;
    let pool = sqlx::PgPool::connect(test.database.url()).await.unwrap();
    let storage = PgStorage::builder().deadline(Duration::from_millis(500)).build_with_pool(pool);
    let locker = lock_tokens(&test).await;

    let token = secret();
    let find = TokenRef::Access(&token);
    let error = storage.get_token(&alice(), &client_id, find).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");

    let new = NewToken::new(&client_id, scope(), TokenPair::new(token.clone()));
    let error = storage.create_token(&alice(), new).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::CheckOutcome);

    // The interrupted connections are not used again, and others are opened.
    locker.close().await.unwrap();
    eventually("the storage works again", async || {
        storage.get_token(&alice(), &client_id, find).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_killed_session_is_unknown_for_a_write() {
    let test = TestStorage::new("errors_killed").await;
    let (client_id, _) = test.client().await;
    let locker = lock_tokens(&test).await;
    let storage = test.storage.clone();
    let new = NewToken::new(&client_id, scope(), access_token());
    let write = tokio::spawn(async move { storage.create_token(&alice(), new).await });
    eventually("the write waits, and its session is ended", async || {
        let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
        sqlx::query_scalar::<_, bool>(
            "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap()
    })
    .await;
    let error = write.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    locker.close().await.unwrap();
    assert!(test.storage.read_client(&client_id).await.unwrap().is_some());
}

#[tokio::test]
async fn with_every_connection_busy_a_call_is_overloaded() {
    let builder = PgStorage::builder().max_connections(1).deadline(Duration::from_secs(2));
    let test = TestStorage::with("errors_busy", builder).await;
    let busy = test.storage.pool().acquire().await.unwrap();
    let error = test.storage.read_client("c").await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::BackOff);
    drop(busy);
    eventually("it works again", async || test.storage.read_client("c").await.is_ok()).await;
}

#[tokio::test]
async fn connection_attempts_to_a_broken_proxy_are_limited() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://app@{}/app?sslmode=disable", proxy.local_addr().unwrap());
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    tokio::spawn(async move {
        while let Ok((connection, _)) = proxy.accept().await {
            drop(connection);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect_lazy(&url).unwrap();
    let storage = PgStorage::builder().deadline(Duration::from_secs(1)).build_with_pool(pool);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let storage = storage.clone();
        callers.spawn(async move {
            for _ in 0..2 {
                let error = storage.read_client("c").await.unwrap_err();
                assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            }
        });
    }
    callers.join_all().await;
    let attempts = attempts.load(Ordering::Relaxed);
    assert!((2..80).contains(&attempts), "{attempts} attempts of 64 callers in two seconds");
}

/// Each batch is its own transaction, so a call that stops between two batches has done a part.
#[tokio::test]
async fn a_revocation_that_stops_halfway_is_unknown_and_continues_when_called_again() {
    let builder = PgStorage::builder().max_connections(1).deadline(Duration::from_secs(2));
    let test = TestStorage::with("errors_halfway", builder).await;
    let (client_id, _) = test.client().await;
    test.sql(&store_grants(3000, &format!("'{client_id}'"), "'alice'")).await;
    test.sql(
        "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep(0.5);
             RETURN NULL;
         END $$;
         CREATE TRIGGER take_long AFTER UPDATE ON oauth_storage.authorization_grant
             FOR EACH STATEMENT EXECUTE FUNCTION take_long()",
    )
    .await;
    // Wait for the only pooled connection during the first batch, then keep it.
    let storage = test.storage.clone();
    let revoke = tokio::spawn(async move { storage.revoke_subject("alice").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let taken = test.storage.pool().acquire().await.unwrap();
    let error = revoke.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    drop(taken);
    assert_eq!(test.storage.revoke_subject("alice").await.unwrap(), 2000, "the rest of it");
}

/// Unlike a revocation, a purge is many calls: the callback has received those that succeeded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_stops_halfway_may_be_called_again() {
    let builder = PgStorage::builder().max_connections(1).deadline(Duration::from_secs(2));
    let test = TestStorage::with("errors_purge", builder).await;
    test.sql(&store_expired_tokens(25, "c")).await;
    // After the first batch, take the only connection that it can run on.
    let (pool, mut taken, mut reported) = (test.storage.pool().clone(), None, Vec::new());
    let purged = test.storage.purge_with(10, |batch| {
        reported.push(batch.tokens);
        for _ in 0..1000 {
            taken = pool.try_acquire();
            if taken.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        ControlFlow::Continue(())
    });
    let error = purged.await.unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::BackOff);
    assert_eq!(reported, [10]);
    drop(taken);
    let rest = test.storage.purge_with(10, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((rest.tokens, rest.more), (15, false));
}

#[tokio::test]
async fn a_server_that_refuses_writes_changed_nothing() {
    let test = TestStorage::new("errors_standby").await;
    let (client_id, _) = test.client().await;
    // As on a standby.
    let name = test.database.name();
    test.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let storage = PgStorage::connect(test.database.url()).await.unwrap();
    let new = NewToken::new(&client_id, scope(), access_token());
    let error = storage.create_token(&alice(), new).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");

    // A read-only session is not used again: writes succeed as soon as the server accepts them.
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = PgStorage::from_pool(pool.connect(test.database.url()).await.unwrap());
    let new = || NewToken::new(&client_id, scope(), access_token());
    let error = pool.create_token(&alice(), new()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let mut admin = PgConnection::connect(test.database.url()).await.unwrap();
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    sqlx::raw_sql("SET default_transaction_read_only = off").execute(&mut admin).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(reset)).execute(&mut admin).await.unwrap();
    pool.create_token(&alice(), new()).await.unwrap();
    eventually("the lanes write again", async || {
        storage.create_token(&alice(), new()).await.is_ok()
    })
    .await;
}

/// Refused writes do not open a connection each: 300 on lanes and 300 on a pool.
#[tokio::test]
async fn refused_writes_back_off_from_connecting() {
    let test = TestStorage::new("errors_read_only").await;
    let (client_id, _) = test.client().await;
    let name = test.database.name();
    test.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    // Counted by a connection to another database, which leaves the count alone.
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4);
    let pool = PgStorage::from_pool(pool.connect(test.database.url()).await.unwrap());
    let lanes = PgStorage::connect(test.database.url()).await.unwrap();
    let opened = async || -> i64 {
        // A session reports its beginning at most once a second.
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        sqlx::query_scalar(
            "SELECT sessions FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(test.storage.pool())
        .await
        .unwrap()
    };
    for storage in [&lanes, &pool] {
        let before = opened().await;
        for _ in 0..300 {
            let new = NewToken::new(&client_id, scope(), access_token());
            let error = storage.create_token(&alice(), new).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        }
        let opened = opened().await - before;
        // A few of every round, of which a slow machine has more.
        assert!(opened < 150, "{opened} connections for 300 refused writes");
    }
}

#[tokio::test]
async fn a_corrupt_row_is_reported_with_its_table_and_column() {
    let test = TestStorage::new("errors_corrupt").await;
    let (client_id, _) = test.client().await;
    test.sql("UPDATE oauth_storage.client SET grant_types = '{card_trick}'").await;
    let error = test.storage.read_client(&client_id).await.unwrap_err();
    match &error {
        Error::Corrupt { table, column, row, .. } => {
            assert_eq!((*table, *column), ("oauth_storage.client", "grant_types"));
            assert_eq!(*row, client_id);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_debug_of_a_storage_shows_no_password() {
    let database = database("errors_debug").await;
    let storage = PgStorage::connect(database.url()).await.unwrap();
    let (login, _) = database.url().split_once('@').unwrap();
    let password = login.rsplit_once(':').unwrap().1;
    assert!(!format!("{storage:?}").contains(password));
    assert!(!password.is_empty() || !database.url().contains('@'));
}
