//! S18: bulk operations make progress under any time limit, and can be continued.

use std::time::{Duration, Instant};

use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientRegistry as _, Error, GrantStorage as _, GrantStorageExt as _, PgStorage,
    TokenStorage as _,
};
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestStorage, alice, eventually, pair, scope, store_grants};

/// A storage whose statements time out after 0.9 s, and a table on which each row takes this long.
async fn slow(label: &str, event: &str, row: &str) -> (TestStorage, String) {
    let builder = PgStorage::builder().deadline(Duration::from_secs(1));
    let test = TestStorage::with(label, builder).await;
    let (client_id, _) = test.client().await;
    test.sql(&format!(
        "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep({row});
             RETURN coalesce(NEW, OLD);
         END $$;
         CREATE TRIGGER take_long BEFORE {event} ON oauth_storage.authorization_grant
             FOR EACH ROW EXECUTE FUNCTION take_long()"
    ))
    .await;
    (test, client_id)
}

async fn live(test: &TestStorage) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM oauth_storage.authorization_grant WHERE revoked_at IS NULL",
    )
    .fetch_one(test.storage.pool())
    .await
    .unwrap()
}

/// A batch of the usual size would take five seconds.
#[tokio::test]
async fn s18_a_batch_that_times_out_is_halved() {
    let (test, client_id) = slow("s18_halved", "UPDATE", "0.005").await;
    let client = format!("'{client_id}'");
    test.sql(&store_grants(400, &client, "'user-' || n % 40")).await;
    test.sql(&store_grants(200, "'another'", "'robot'")).await;
    assert_eq!(test.storage.revoke_subject("robot").await.unwrap(), 200);
    assert_eq!(test.storage.revoke_client(&client_id).await.unwrap(), 400);
    assert_eq!(live(&test).await, 0);
}

#[tokio::test]
async fn s18_a_deletion_that_times_out_is_halved() {
    let (test, client_id) = slow("s18_halved_delete", "DELETE", "0.005").await;
    test.sql(&store_grants(300, &format!("'{client_id}'"), "'user-' || n % 40")).await;
    test.sql(&store_grants(200, "'another'", "'robot'")).await;
    assert_eq!(test.storage.erase_subject("robot").await.unwrap(), 200);
    assert!(test.storage.delete_client(&client_id).await.unwrap());
    assert_eq!(live(&test).await, 0);
    assert_eq!(test.storage.read_client(&client_id).await.unwrap(), None);
}

/// If a single row takes longer than the limit, the call fails in bounded time.
#[tokio::test]
async fn s18_a_limit_too_short_for_one_row_is_an_error_and_the_next_call_continues() {
    let (test, client_id) = slow("s18_hopeless", "UPDATE", "1.5").await;
    test.sql(&store_grants(50, &format!("'{client_id}'"), "'user-' || n % 40")).await;
    let started = Instant::now();
    let error = test.storage.revoke_client(&client_id).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(live(&test).await, 50);
    test.sql("DROP TRIGGER take_long ON oauth_storage.authorization_grant").await;
    assert_eq!(test.storage.revoke_client(&client_id).await.unwrap(), 50);
}

/// The first chunk of a batch is committed when the second one fails.
#[tokio::test]
async fn s18_an_error_after_a_committed_chunk_is_an_unknown_outcome() {
    let builder = PgStorage::builder().deadline(Duration::from_secs(1));
    let test = TestStorage::with("s18_chunk", builder).await;
    let (client_id, _) = test.client().await;
    test.sql(&store_grants(900, &format!("'{client_id}'"), "'robot'")).await;
    // The first statement times out, so the next batch has two chunks. The second of them fails.
    test.sql(
        "CREATE SEQUENCE statements;
         CREATE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             CASE nextval('statements')
                 WHEN 1 THEN PERFORM pg_sleep(2);
                 WHEN 3 THEN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100';
                 ELSE
             END CASE;
             RETURN NULL;
         END $$;
         CREATE TRIGGER disturb BEFORE UPDATE ON oauth_storage.authorization_grant
             FOR EACH STATEMENT EXECUTE FUNCTION disturb()",
    )
    .await;
    let error = test.storage.revoke_subject("robot").await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
    assert_eq!(live(&test).await, 400);
    assert_eq!(test.storage.revoke_subject("robot").await.unwrap(), 400);
}

/// The caller drops the call halfway. Committed batches stay, and the next call does the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_revocation_that_was_dropped_is_continued_by_the_next() {
    let builder = PgStorage::builder().deadline(Duration::from_secs(20));
    let test = TestStorage::with("s18_dropped", builder).await;
    let (client_id, _) = test.client().await;
    test.sql(&store_grants(5_000, &format!("'{client_id}'"), "'robot'")).await;
    test.sql(
        "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep(0.3);
             RETURN NULL;
         END $$;
         CREATE TRIGGER take_long BEFORE UPDATE ON oauth_storage.authorization_grant
             FOR EACH STATEMENT EXECUTE FUNCTION take_long()",
    )
    .await;
    let storage = test.storage.clone();
    let revoking = tokio::spawn(async move { storage.revoke_subject("robot").await });
    eventually("a batch is committed", async || live(&test).await < 5_000).await;
    revoking.abort();
    assert!(revoking.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let left = live(&test).await;
    assert!((1..5_000).contains(&left), "{left}");
    let rest = test.storage.revoke_subject("robot").await.unwrap();
    assert_eq!(rest, u64::try_from(left).unwrap());
    assert_eq!(test.storage.list_all_grants("robot").await.unwrap(), []);
}

/// An application's transaction locks one row of five thousand. The rest is revoked at once, no other
/// call waits, and the one is revoked as soon as its lock is released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s21_a_locked_grant_delays_no_other_revocation() {
    let builder = PgStorage::builder().deadline(Duration::from_secs(20));
    let test = TestStorage::with("s21_held_grant", builder).await;
    let (client_id, _) = test.client().await;
    test.sql(&store_grants(5_000, &format!("'{client_id}'"), "'robot'")).await;
    let mut application = PgConnection::connect(test.database.url()).await.unwrap();
    let hold = "BEGIN; SELECT FROM oauth_storage.authorization_grant WHERE grant_id = (
             SELECT grant_id FROM oauth_storage.authorization_grant
             ORDER BY grant_id OFFSET 10 LIMIT 1
         ) FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut application).await.unwrap();
    let storage = test.storage.clone();
    let revoking = tokio::spawn(async move { storage.revoke_subject("robot").await });
    eventually("all but one are revoked", async || live(&test).await == 1).await;
    assert!(!revoking.is_finished(), "it returns when the last is revoked");
    // Other calls do not wait meanwhile.
    for _ in 0..20 {
        let new = NewToken::new(&client_id, scope(), pair());
        let started = Instant::now();
        test.storage.create_token(&alice(), new).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
    sqlx::raw_sql("COMMIT").execute(&mut application).await.unwrap();
    assert_eq!(revoking.await.unwrap().unwrap(), 5_000);
    assert_eq!(test.storage.list_all_grants("robot").await.unwrap(), []);
}

/// Two nodes revoke the same client. Each skips the rows that the other has locked, and neither has to
/// revoke those one by one afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_two_nodes_that_revoke_one_owner_share_the_work() {
    let builder = || PgStorage::builder().deadline(Duration::from_secs(20));
    let test = TestStorage::with("s18_two", builder()).await;
    let other = builder().connect(test.database.url()).await.unwrap();
    let (client_id, _) = test.client().await;
    let client = format!("'{client_id}'");
    test.sql(&store_grants(30_000, &client, "'user-' || n")).await;
    let started = Instant::now();
    let (one, two) =
        tokio::join!(test.storage.revoke_client(&client_id), other.revoke_client(&client_id));
    let took = started.elapsed();
    assert_eq!(one.unwrap() + two.unwrap(), 30_000);
    assert_eq!(live(&test).await, 0);
    test.sql(&store_grants(30_000, &client, "'user-' || n")).await;
    let started = Instant::now();
    test.storage.revoke_client(&client_id).await.unwrap();
    let alone = started.elapsed();
    println!("together {took:?}, alone {alone:?}");
    assert!(took < alone * 4, "together {took:?}, alone {alone:?}");
}
