//! What only a Citus cluster can show; `docs/citus.md` says how to give one to the tests.

use std::time::Duration;

use oauth_storage::{
    ClientRegistry as _, GrantStorage as _, NewToken, Request, Secret, TokenRef, TokenStorage as _,
};
use uuid::Uuid;

use crate::support::{TestStorage, alice, run_sql, scope, secret};

/// A token that a node has prepared, and not committed yet.
struct Prepared {
    node: String,
    grant_id: Uuid,
}

impl Prepared {
    async fn new(test: &TestStorage, grant_id: Uuid, client_id: &str, token: &Secret) -> Self {
        let digest = format!("sha256('{}')", token.expose());
        let (shard, host, port): (String, String, i32) =
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT shard_name, nodename, nodeport FROM citus_shards WHERE shardid =
                 get_shard_id_for_distribution_column('oauth_storage.token', {digest})"
            )))
            .fetch_one(test.storage.pool())
            .await
            .unwrap();
        let mut node = url::Url::parse(test.database.url()).unwrap();
        node.set_host(Some(&host)).unwrap();
        node.set_port(u16::try_from(port).ok()).unwrap();
        let prepared = Self { node: node.to_string(), grant_id };
        prepared
            .run(&format!(
                "BEGIN;
                 INSERT INTO {shard}
                     (issued_at, expires_at, grant_id, kind, digest, client_id, scope)
                 VALUES
                     (now(), now() + interval '1 hour', '{grant_id}', 'a', {digest}, '{client_id}',
                     '');
                 PREPARE TRANSACTION"
            ))
            .await;
        prepared
    }

    async fn commit(self) {
        self.run("COMMIT PREPARED").await;
    }

    async fn run(&self, statement: &str) {
        run_sql(&self.node, &format!("{statement} 'citus_test_{}'", self.grant_id)).await;
    }
}

async fn on_cluster(test: &str) -> Option<TestStorage> {
    let storage = TestStorage::new("citus").await;
    if storage.database.is_on_cluster() {
        return Some(storage);
    }
    println!("NOT RUN: citus::{test}: no Citus");
    None
}

/// A commit of several nodes is seen on one before another. What it stores where it is not seen yet,
/// a revocation waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_successor_that_a_node_has_yet_to_commit_is_revoked() {
    let name = "s9_a_successor_that_a_node_has_yet_to_commit_is_revoked";
    let Some(test) = on_cluster(name).await else { return };
    let (client_id, _) = test.client().await;
    let new = NewToken::new(&client_id, scope(), secret());
    let grant_id = test.storage.create_token(&alice(), new).await.unwrap().grant_id;
    let prepared = Prepared::new(&test, grant_id, &client_id, &secret()).await;
    let storage = test.storage.clone();
    let revoking = tokio::spawn(async move { storage.revoke_grant(grant_id).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = !revoking.is_finished();
    prepared.commit().await;
    let revoked = revoking.await.unwrap();
    assert!(waits, "the revocation did not wait for the node: {revoked:?}");
    assert_eq!(revoked.unwrap(), 2);
}

/// Its owner was told of it; a node failed in its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_token_that_its_node_has_yet_to_commit_is_revoked_by_name() {
    let name = "s9_a_token_that_its_node_has_yet_to_commit_is_revoked_by_name";
    let Some(test) = on_cluster(name).await else { return };
    let (client_id, _) = test.client().await;
    // Others, so that the refused statement has rows of several shards.
    let new = NewToken::new(&client_id, scope(), secret()).with_refresh_token(secret());
    test.storage.create_token(&alice(), new).await.unwrap();
    let token = secret();
    let prepared = Prepared::new(&test, Uuid::new_v4(), &client_id, &token).await;
    let (storage, named, owner) = (test.storage.clone(), token.clone(), client_id.clone());
    let revoking = tokio::spawn(async move {
        storage.revoke_token(&Request::default(), &owner, TokenRef::Any(&named)).await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = !revoking.is_finished();
    prepared.commit().await;
    revoking.await.unwrap().unwrap();
    assert!(waits, "the revocation did not wait for the node");
    assert_eq!(test.storage.introspect(&token).await.unwrap(), None);
}

/// The coordinator lets go of the client's row before the nodes have committed what it held it for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_node_has_yet_to_commit_does_not_outlive_its_client() {
    let name = "a_token_that_a_node_has_yet_to_commit_does_not_outlive_its_client";
    let Some(test) = on_cluster(name).await else { return };
    let (client_id, _) = test.client().await;
    let token = secret();
    let prepared = Prepared::new(&test, Uuid::new_v4(), &client_id, &token).await;
    let storage = test.storage.clone();
    let deleting = tokio::spawn(async move { storage.delete_client(&client_id).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = !deleting.is_finished();
    prepared.commit().await;
    let deleted = deleting.await.unwrap();
    assert!(waits, "the deletion did not wait for the node: {deleted:?}");
    assert!(deleted.unwrap());
    assert_eq!(test.storage.introspect(&token).await.unwrap(), None);
}
