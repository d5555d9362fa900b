//! Sessions of users: linear on tables with statistics, and interrupted sign-outs.

use std::ops::ControlFlow;
use std::time::Duration;

use oauth_storage::grant::GrantState;
use oauth_storage::user_session::{NewUserSession, SignOut, StartedSession};
use oauth_storage::{
    AuthorizationCodeStorage as _, Error, GrantStorage as _, GrantStorageExt as _,
    NewAuthorizationCode, PgStorage, RequestContext, Secret, User, UserSessionStorage as _,
};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{is_linear, new, timed};
use crate::support::{TestStorage, URI, eventually, scope, store_expired_tokens};

/// SQL that stores sessions and analyzes the table. `subject` is an expression over `n`.
fn store_sessions(count: usize, subject: &str, expires_in: &str) -> String {
    format!(
        "INSERT INTO oauth_storage.user_session (created_at, authenticated_at, expires_at,
             absolute_expires_at, lifetime, sid, digest, digest_tail, subject)
         SELECT now(), now(), now() + {expires_in}, now() + {expires_in}, '12 hours',
             gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), {subject}
         FROM generate_series(1, {count}) n;
         ANALYZE oauth_storage.user_session"
    )
}

/// SQL that stores grants of a session and analyzes the table.
fn store_grants_of(sid: Uuid, count: usize, client_id: &str) -> String {
    format!(
        "INSERT INTO oauth_storage.authorization_grant
             (granted_at, expires_at, grant_id, client_id, subject, scope, context)
         SELECT now(), now() + interval '90 days', gen_random_uuid(), {client_id}, 'alice', 'openid',
             '{{\"sid\": \"{sid}\"}}'
         FROM generate_series(1, {count}) n;
         ANALYZE oauth_storage.authorization_grant"
    )
}

async fn start(storage: &PgStorage, subject: &str) -> StartedSession {
    storage.start_session(NewUserSession::new(User::new(subject))).await.unwrap()
}

async fn store_code(storage: &PgStorage, client_id: &str, started: &StartedSession) -> Uuid {
    let code = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(client_id, scope(), URI, code);
    let request = RequestContext::for_user(started.session.user());
    let new = new.with_session(&started.session);
    storage.create_authorization_code(&request, new).await.unwrap().grant_id
}

#[tokio::test]
async fn s18_signing_out_of_a_session_with_many_grants_is_linear() {
    let (test, _) = new("s18_sign_out").await;
    is_linear("end_session", 2_500, async |rows| {
        let started = start(&test.storage, "alice").await;
        test.sql(&store_grants_of(started.session.sid, rows, "'client-' || n % 50")).await;
        let (took, out) = timed(test.storage.end_session(&started.secret)).await;
        let out = out.unwrap();
        assert_eq!(out.revoked_grants, rows as u64);
        assert_eq!(out.sessions[0].client_ids.len(), 50);
        took
    })
    .await;
}

#[tokio::test]
async fn s18_signing_out_everywhere_is_linear() {
    let (test, _) = new("s18_everywhere").await;
    test.sql(&store_sessions(5_000, "'user-' || n", "interval '1 hour'")).await;
    is_linear("end_sessions_of", 2_500, async |rows| {
        test.sql(&store_sessions(rows, "'alice'", "interval '1 hour'")).await;
        let (took, out) = timed(test.storage.end_sessions_of("alice", None)).await;
        assert_eq!(out.unwrap().sessions.len(), rows);
        took
    })
    .await;
    is_linear("erase_subject", 2_500, async |rows| {
        test.sql(&store_sessions(rows, "'alice'", "interval '1 hour'")).await;
        let (took, erased) = timed(test.storage.erase_subject("alice")).await;
        assert_eq!(erased.unwrap(), 0);
        took
    })
    .await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_storage.user_session")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, 5_000);
}

#[tokio::test]
async fn s18_a_purge_of_sessions_is_linear() {
    let (test, _) = new("s18_sessions").await;
    test.sql(&store_sessions(5_000, "'user-' || n", "interval '1 hour'")).await;
    is_linear("purge", 4_000, async |rows| {
        test.sql(&store_sessions(rows, "'user-' || n", "n * interval '-10 s'")).await;
        let all = test.storage.purge_with(1_000, |_| ControlFlow::Continue(()));
        let (took, purged) = timed(all).await;
        assert_eq!(purged.unwrap().sessions, rows as u64);
        took
    })
    .await;
}

/// A sign-out that ends after its first step, as in a crash. The next one continues and reports every client.
#[tokio::test]
async fn an_interrupted_sign_out_continues() {
    let (test, client_id) = new("interrupted").await;
    let storage = &test.storage;
    for way in 0..3 {
        let started = start(storage, "alice").await;
        let sid = started.session.sid;
        let grant_id = store_code(storage, &client_id, &started).await;
        // The mark, and the revocation of one grant.
        test.sql(&format!(
            "UPDATE oauth_storage.user_session SET ended_at = now(), expires_at = now()
             WHERE sid = '{sid}'"
        ))
        .await;
        if way == 1 {
            assert!(storage.revoke_grant(grant_id).await.unwrap());
        }
        assert_eq!(storage.find_session(&started.secret).await.unwrap(), None);
        assert_eq!(storage.purge_expired(1_000).await.unwrap().sessions, 0, "it may still run");
        let out = match way {
            0 => storage.end_session(&started.secret).await,
            1 => storage.end_session_of("alice", sid).await,
            _ => storage.end_sessions_of("alice", None).await,
        };
        let out = out.unwrap();
        assert_eq!((out.sessions.len(), out.sessions[0].sid), (1, sid));
        assert_eq!(out.sessions[0].client_ids, [client_id.as_str()]);
        assert_eq!(out.revoked_grants, u64::from(way != 1));
    }
    // If nobody continues, the purge does, after ten minutes.
    let started = start(storage, "alice").await;
    let grant_id = store_code(storage, &client_id, &started).await;
    test.sql("UPDATE oauth_storage.user_session SET ended_at = now() - interval '601 seconds'")
        .await;
    assert_eq!(storage.purge_expired(1_000).await.unwrap().sessions, 1);
    assert!(!storage.revoke_grant(grant_id).await.unwrap(), "the purge has revoked it");
    assert_eq!(storage.end_session(&started.secret).await.unwrap(), SignOut::default());
}

/// A sign-out waits for the transaction that stores a code for the session, and then sees its grant.
#[tokio::test]
async fn a_sign_out_waits_for_a_code_in_flight() {
    let (test, client_id) = new("in_flight").await;
    let started = start(&test.storage, "alice").await;
    // The session has noted the client, so that the code does not change its row.
    store_code(&test.storage, &client_id, &started).await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let held = test.storage.with_connection(&mut transaction);
    let code = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, code);
    let request = RequestContext::for_user(started.session.user());
    let new = new.with_session(&started.session);
    let grant_id = held.create_authorization_code(&request, new).await.unwrap().grant_id;
    drop(held);
    let (storage, secret) = (test.storage.clone(), started.secret.clone());
    let out = tokio::spawn(async move { storage.end_session(&secret).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!out.is_finished(), "it waits");
    // Nobody else waits.
    assert!(test.storage.find_session(&started.secret).await.unwrap().is_some());
    transaction.commit().await.unwrap();
    let out = out.await.unwrap().unwrap();
    assert_eq!((out.revoked_grants, out.sessions.len()), (2, 1));
    assert!(!test.storage.revoke_grant(grant_id).await.unwrap());
}

/// A locked session delays neither its lookups nor other sessions.
#[tokio::test]
async fn s21_a_locked_session_is_found() {
    let (test, _) = new("locked_session").await;
    let new = NewUserSession::new(User::new("alice")).with_idle_timeout(Duration::from_secs(30));
    let started = test.storage.start_session(new).await.unwrap();
    test.sql(
        "UPDATE oauth_storage.user_session SET expires_at = expires_at - interval '20 seconds'",
    )
    .await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("SELECT FROM oauth_storage.user_session FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let (took, found) = timed(test.storage.find_session(&started.secret)).await;
    let before = found.unwrap().expect("it is live").expires_at;
    assert!(took < Duration::from_secs(1), "{took:?}");
    transaction.rollback().await.unwrap();
    let after = test.storage.find_session(&started.secret).await.unwrap().unwrap().expires_at;
    assert!(after > before, "its idle end moves at the next use");
}

/// A read-only server finds sessions, and does not move their idle ends.
#[tokio::test]
async fn a_session_is_found_on_a_standby() {
    let (test, _) = new("standby_session").await;
    let new = NewUserSession::new(User::new("alice")).with_idle_timeout(Duration::from_secs(30));
    let started = test.storage.start_session(new).await.unwrap();
    test.sql(
        "UPDATE oauth_storage.user_session SET expires_at = expires_at - interval '20 seconds';
         DO $$ BEGIN EXECUTE format(
             'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()
         ); END $$",
    )
    .await;
    let standby = PgStorage::connect(test.database.url()).await.unwrap();
    let found = standby.find_session(&started.secret).await.unwrap().expect("it is live");
    assert_eq!(found.sid, started.session.sid);
    assert!(found.expires_at < started.session.expires_at);
    let ended = standby.end_session(&started.secret).await;
    assert!(matches!(ended, Err(Error::Unavailable { .. })), "{ended:?}");
    standby.close().await;
    assert!(test.storage.find_session(&started.secret).await.unwrap().is_some());
}

/// A sign-out that cannot be finished, because another transaction holds its grant, keeps neither the rest of
/// the purge nor the other sign-outs.
#[tokio::test]
async fn a_stuck_sign_out_does_not_keep_the_purge() {
    let builder = PgStorage::builder().deadline(Duration::from_secs(1));
    let test = TestStorage::with("stuck_sign_out", builder).await;
    let (client_id, _) = test.client().await;
    let storage = &test.storage;
    let stuck = start(storage, "alice").await;
    let grant_id = store_code(storage, &client_id, &stuck).await;
    let other = start(storage, "bob").await;
    let free = store_code(storage, &client_id, &other).await;
    test.sql("UPDATE oauth_storage.user_session SET ended_at = now() - interval '1 hour'").await;
    test.sql(&store_expired_tokens(30, &client_id)).await;
    let mut holder = PgConnection::connect(test.database.url()).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    let lock = "SELECT 1 FROM oauth_storage.authorization_grant WHERE grant_id = $1 FOR UPDATE";
    sqlx::query(lock).bind(grant_id).execute(&mut *held).await.unwrap();

    let purged = storage.purge_with(10, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((purged.tokens, purged.more), (30, false), "three batches: {purged:?}");
    // Each purge begins with another one.
    eventually("the other sign-out is finished", async || {
        storage.purge_expired(10).await.unwrap();
        let found = storage.get_grant(free).await.unwrap();
        found.is_none_or(|grant| grant.state == GrantState::Revoked)
    })
    .await;
    held.rollback().await.unwrap();
    eventually("the stuck one as well", async || {
        storage.purge_expired(10).await.unwrap();
        let found = storage.get_grant(grant_id).await.unwrap();
        found.is_none_or(|grant| grant.state == GrantState::Revoked)
    })
    .await;
}
