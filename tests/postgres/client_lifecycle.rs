//! Declared and self-registered clients: rows, clocks, and two processes.

use std::time::Duration;

use oauth_storage::client::{ClientSecret, ClientSecretRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, NewClient, PgStorage, RequestContext,
    Secret, TokenStorage as _,
};

use crate::support::{TestStorage, URI, alice, eventually, pair, scope};

const MONTH: Duration = Duration::from_hours(24 * 30);

fn metadata() -> ClientMetadata {
    ClientMetadata::authorization_code([URI]).with_scope(scope())
}

async fn self_registered(test: &TestStorage) -> String {
    let new = NewClient::new(metadata()).with_registration_access_token(true);
    test.storage.register_client(new).await.unwrap().client.client_id
}

async fn last_used_days_ago(test: &TestStorage, client_id: &str) -> Option<i32> {
    sqlx::query_scalar(
        "SELECT (extract(epoch FROM now() - last_used_at) / 86400)::int
         FROM oauth_storage.client WHERE client_id = $1",
    )
    .bind(client_id)
    .fetch_one(test.storage.pool())
    .await
    .unwrap()
}

/// Counts updates of client rows from now on.
const COUNT_UPDATES: &str = "
    CREATE TABLE public.written (client_id text);
    CREATE FUNCTION public.note_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.written VALUES (new.client_id); RETURN NULL; END $$;
    CREATE TRIGGER note_update AFTER UPDATE ON oauth_storage.client FOR EACH ROW
        EXECUTE FUNCTION public.note_update()";

async fn updates(test: &TestStorage) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM public.written")
        .fetch_one(test.storage.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_use_is_written_once_a_day() {
    let test = TestStorage::new("lifecycle_use").await;
    let (client_id, _) = test.client().await;
    test.sql(COUNT_UPDATES).await;
    let look = async || {
        let mut lookups = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (storage, client_id) = (test.storage.clone(), client_id.clone());
            lookups.spawn(async move {
                for _ in 0..20 {
                    let request = RequestContext::default();
                    assert!(
                        storage.get_client(&request, &client_id, None).await.unwrap().is_some()
                    );
                }
            });
        }
        lookups.join_all().await;
    };
    look().await;
    eventually("the use is written", async || {
        last_used_days_ago(&test, &client_id).await == Some(0)
    })
    .await;
    look().await;
    assert_eq!(updates(&test).await, 1, "of 2,560 lookups");
    test.sql("UPDATE oauth_storage.client SET last_used_at = now() - interval '25 hours'").await;
    look().await;
    eventually("the next use is written", async || {
        last_used_days_ago(&test, &client_id).await == Some(0)
    })
    .await;
    assert_eq!(updates(&test).await, 3, "one of them is that of this test");
}

/// A transaction of the operator that holds the client's row delays no lookup.
#[tokio::test]
async fn a_use_waits_for_nobody() {
    let test = TestStorage::new("lifecycle_locked").await;
    let (client_id, _) = test.client().await;
    let mut holder = test.storage.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM oauth_storage.client FOR UPDATE").execute(&mut *holder).await.unwrap();
    let began = std::time::Instant::now();
    for _ in 0..20 {
        let found = test.storage.get_client(&RequestContext::default(), &client_id, None).await;
        assert!(found.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    holder.rollback().await.unwrap();
    assert_eq!(last_used_days_ago(&test, &client_id).await, None, "it is left for the next use");
}

#[tokio::test]
async fn a_purge_takes_unused_clients_that_registered_themselves() {
    let test = TestStorage::new("lifecycle_purge").await;
    let (unused, used) = (self_registered(&test).await, self_registered(&test).await);
    let (never, operators) = (self_registered(&test).await, test.client().await.0);
    // As with lookups on a standby, or in transactions of the application.
    let granted = self_registered(&test).await;
    for client_id in [&unused, &used, &never, &operators, &granted] {
        let new = NewToken::new(client_id, scope(), pair());
        test.storage.create_token(&alice(), new).await.unwrap();
    }
    test.sql(&format!(
        "UPDATE oauth_storage.authorization_grant SET expires_at = now() WHERE client_id <> '{granted}'"
    ))
    .await;
    test.sql(
        "UPDATE oauth_storage.client SET client_id_issued_at = now() - interval '60 days',
             last_used_at = now() - interval '31 days'",
    )
    .await;
    for (client_id, last_use) in [(&used, "now() - interval '29 days'"), (&never, "NULL")] {
        test.sql(&format!(
            "UPDATE oauth_storage.client SET last_used_at = {last_use} WHERE client_id = '{client_id}'"
        ))
        .await;
    }
    assert_eq!(test.storage.purge_clients(MONTH).await.unwrap(), 2);
    assert_eq!(test.storage.purge_clients(MONTH).await.unwrap(), 0);
    let grants: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_storage.authorization_grant")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert_eq!(grants, 3, "those of the deleted clients are gone");
    let left = test.storage.list_clients(None, 10).await.unwrap();
    let mut left: Vec<_> = left.into_iter().map(|client| client.client_id).collect();
    left.sort();
    let mut expected = [used, operators, granted];
    expected.sort();
    assert_eq!(left, expected);
}

/// A client that cannot be deleted does not keep the others, and is reported.
#[tokio::test]
async fn a_purge_continues_past_a_client_that_it_cannot_delete() {
    let builder = PgStorage::builder().deadline(Duration::from_secs(2));
    let test = TestStorage::with("lifecycle_stuck", builder).await;
    let mut clients = [self_registered(&test).await, self_registered(&test).await];
    clients.sort();
    test.sql("UPDATE oauth_storage.client SET client_id_issued_at = now() - interval '60 days'")
        .await;
    let mut holder = test.storage.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM oauth_storage.client WHERE client_id = $1 FOR UPDATE")
        .bind(&clients[0])
        .execute(&mut *holder)
        .await
        .unwrap();
    assert!(test.storage.purge_clients(MONTH).await.is_err());
    assert!(test.storage.read_client(&clients[1]).await.unwrap().is_none());
    holder.rollback().await.unwrap();
    assert_eq!(test.storage.purge_clients(MONTH).await.unwrap(), 1);
}

/// An interrupted deletion is finished, whoever the client was. More clients than a page.
#[tokio::test]
async fn a_purge_reads_every_page_and_finishes_deletions() {
    let test = TestStorage::new("lifecycle_pages").await;
    test.sql(
        "INSERT INTO oauth_storage.client (client_id, token_endpoint_auth_method, redirect_uris,
             grant_types, response_types, scope, details, expires_at, disabled_at, deleted_at)
         SELECT 'c' || n, 'none', '{}', '{authorization_code}', '{code}', '', '{}',
             CASE n % 3 WHEN 0 THEN now() END,
             CASE n % 3 WHEN 1 THEN now() END, CASE n % 3 WHEN 1 THEN now() END
         FROM generate_series(1, 450) AS n;
         INSERT INTO oauth_storage.client_lock SELECT client_id FROM oauth_storage.client",
    )
    .await;
    assert_eq!(test.storage.purge_clients(MONTH).await.unwrap(), 300);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_storage.client_lock")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert_eq!(left, 150);
}

/// Several storages, as several processes have them at their start, with a password-hashed secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_is_declared_by_several_storages_at_once() {
    let test = TestStorage::new("lifecycle_declared").await;
    let secret = Secret::new("correct horse battery");
    let declared = || {
        NewClient::new(metadata())
            .with_client_id("billing")
            .with_client_secret(ClientSecret::Chosen(secret.clone()))
    };
    let mut declarations = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let storage = PgStorage::connect(test.database.url()).await.unwrap();
        for _ in 0..2 {
            let (storage, declared) = (storage.clone(), declared());
            declarations.spawn(async move { storage.ensure_client(declared).await.unwrap() });
        }
    }
    for client in declarations.join_all().await {
        assert_eq!(client.metadata, metadata());
    }
    let request = RequestContext::default();
    let found = async |secret: &Secret| {
        test.storage.get_client(&request, "billing", Some(secret)).await.unwrap().is_some()
    };
    assert!(found(&secret).await && !found(&Secret::new("correct horse staple")).await);
    let hash: String = sqlx::query_scalar("SELECT client_secret_hash FROM oauth_storage.client")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$"));
    // By its hash, which is unchanged after that.
    let by_hash = declared().with_client_secret(ClientSecret::Hashed(hash));
    let before = test.storage.read_client("billing").await.unwrap().unwrap();
    let after = test.storage.ensure_client(by_hash).await.unwrap();
    assert_eq!(after.updated_at, before.updated_at);
}

/// A process that starts with changed metadata does not end the secret that an operator rotates meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_declaration_does_not_undo_a_rotation() {
    let test = TestStorage::new("lifecycle_rotation").await;
    let (_, secret) = test.client().await;
    let request = RequestContext::default();
    for n in 0..100 {
        let declared = |name: &str| {
            NewClient::new(metadata().with_client_name(name))
                .with_client_id(format!("client-{n}"))
                .with_client_secret(ClientSecret::Chosen(secret.clone()))
        };
        let id = test.storage.ensure_client(declared("before")).await.unwrap().client_id;
        let changed = declared("after");
        let (ensured, rotated) = tokio::join!(
            test.storage.ensure_client(changed),
            test.storage.rotate_client_secret(&id, ClientSecretRotation::new())
        );
        assert_eq!(ensured.unwrap().display_name(), "after");
        let new = rotated.unwrap().unwrap().client_secret.unwrap();
        for secret in [&secret, &new] {
            let found = test.storage.get_client(&request, &id, Some(secret)).await.unwrap();
            assert!(found.is_some(), "round {n}");
        }
    }
}

/// The hash of the registration access token is stored, and the token is not.
#[tokio::test]
async fn s13_only_the_hash_of_a_registration_access_token_is_kept() {
    let test = TestStorage::new("s13_registration").await;
    let new = NewClient::new(metadata()).with_registration_access_token(true);
    let registered = test.storage.register_client(new).await.unwrap();
    let token = registered.registration_access_token.unwrap();
    let row: String = sqlx::query_scalar("SELECT client::text FROM oauth_storage.client")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert!(row.contains("sha256:") && !row.contains(token.expose()), "{row}");
}
