//! The client registry: rows and pools, which the conformance suite does not see.

use std::time::Duration;

use oauth_storage::client::ClientSecretRotation;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    GrantStorage as _, NewAuthorizationCode, NewClient, PgStorage, Secret, TokenPair,
    TokenStorage as _,
};
use sqlx::PgPool;

use crate::support::{TestStorage, access_token, alice, pair, scope, secret};

/// An application that has a pool needs no second one.
#[tokio::test]
async fn the_applications_pool_can_be_used() {
    let test = TestStorage::new("clients_pool").await;
    let pool = PgPool::connect(test.database.url()).await.unwrap();
    let storage = PgStorage::from_pool(pool.clone());
    let (client_id, client_secret) = test.client().await;
    let found = storage.get_client(&alice(), &client_id, Some(&client_secret)).await.unwrap();
    assert_eq!(found.unwrap().client_id, client_id);
    assert_eq!(sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&pool).await.unwrap(), 1);
}

#[tokio::test]
async fn deleting_a_client_deletes_what_was_issued_to_it() {
    let test = TestStorage::new("clients_delete").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    for client_id in [&client_id, &other_id] {
        let new = NewToken::new(client_id, scope(), pair());
        test.storage.create_token(&alice(), new).await.unwrap();
        let uri = "https://client.example/cb";
        let new = NewAuthorizationCode::new(client_id, scope(), uri, secret());
        test.storage.create_authorization_code(&alice(), new).await.unwrap();
    }
    assert!(test.storage.delete_client(&client_id).await.unwrap());
    assert!(!test.storage.delete_client(&client_id).await.unwrap());
    let left: Vec<(String, i64)> = sqlx::query_as(
        "SELECT client_id, count(*) FROM oauth_storage.authorization_grant GROUP BY client_id
         UNION ALL SELECT client_id, -1 FROM oauth_storage.client_lock",
    )
    .fetch_all(test.storage.pool())
    .await
    .unwrap();
    assert_eq!(left, [(other_id.clone(), 2), (other_id, -1)], "those of the other client");
}

/// Nothing is issued to a client that is gone, however close the race.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deleted_client_leaves_no_token_behind() {
    let test = TestStorage::new("clients_delete_race").await;
    for _ in 0..25 {
        let (client_id, _) = test.client().await;
        let mut issuers = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (storage, client_id) = (test.storage.clone(), client_id.clone());
            issuers.spawn(async move {
                let new = || NewToken::new(&client_id, scope(), access_token());
                // Until the client is gone.
                while storage.create_token(&alice(), new()).await.is_ok() {}
            });
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        test.storage.delete_client(&client_id).await.unwrap();
        issuers.join_all().await;
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM oauth_storage.authorization_grant")
                .fetch_one(test.storage.pool())
                .await
                .unwrap();
        assert_eq!(left, 0, "grants of a client that is gone");
    }
}

/// Secrets expire by PostgreSQL's clock, and the previous one ends with its overlap.
#[tokio::test]
async fn secrets_end_by_the_servers_clock() {
    let test = TestStorage::new("clients_clock").await;
    let works = async |client_id: &str, secret: &Secret| {
        test.storage.get_client(&alice(), client_id, Some(secret)).await.unwrap().is_some()
    };
    let new = NewClient::new(ClientMetadata::client_credentials())
        .with_client_secret_expires_in(Duration::from_hours(1));
    let registered = test.storage.register_client(new).await.unwrap();
    let (client_id, first) = (registered.client.client_id, registered.client_secret.unwrap());
    let rotation = ClientSecretRotation::new().with_overlap(Duration::from_hours(2));
    let rotated = test.storage.rotate_client_secret(&client_id, rotation).await.unwrap().unwrap();
    let second = rotated.client_secret.unwrap();
    assert!(works(&client_id, &first).await && works(&client_id, &second).await);
    // The overlap does not outlast the secret's own end.
    let ends: bool = sqlx::query_scalar(
        "SELECT previous_client_secrets_expire_at[1] < now() + interval '61 minutes'
         FROM oauth_storage.client",
    )
    .fetch_one(test.storage.pool())
    .await
    .unwrap();
    assert!(ends);
    test.sql(
        "UPDATE oauth_storage.client
         SET previous_client_secrets_expire_at = ARRAY[now() - interval '1 second']",
    )
    .await;
    assert!(!works(&client_id, &first).await && works(&client_id, &second).await);
    test.sql("UPDATE oauth_storage.client SET client_secret_expires_at = now()").await;
    assert!(!works(&client_id, &second).await);
}

/// Eight calls name tokens of one grant at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn revocation_of_a_refresh_token_takes_the_whole_grant() {
    let test = TestStorage::new("clients_revoke").await;
    let (client_id, _) = test.client().await;
    let first = pair();
    let new = NewToken::new(&client_id, scope(), first.clone());
    let grant_id = test.storage.create_token(&alice(), new).await.unwrap().grant_id;
    let mut tokens = vec![first];
    for _ in 0..20 {
        let more = TokenPair::generate_for(grant_id).unwrap();
        let new = NewToken::new(&client_id, scope(), more.clone()).with_grant_id(grant_id);
        test.storage.create_token(&alice(), new).await.unwrap();
        tokens.push(more);
    }
    let mut revokers = tokio::task::JoinSet::new();
    for pair in &tokens[..8] {
        let (storage, client_id) = (test.storage.clone(), client_id.clone());
        let refresh = pair.refresh_token.clone().unwrap();
        revokers.spawn(async move {
            let token = TokenRef::Refresh(&refresh);
            storage.revoke_token(&alice(), &client_id, token).await
        });
    }
    while let Some(revoked) = revokers.join_next().await {
        revoked.unwrap().unwrap();
    }
    for pair in &tokens {
        for token in [&pair.access_token, pair.refresh_token.as_ref().unwrap()] {
            assert_eq!(test.storage.introspect(token).await.unwrap(), None);
        }
    }
}
