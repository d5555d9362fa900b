//! What only a Citus cluster can show; `docs/citus.md` says how to give one to the tests.

use std::time::Duration;

use oauth_storage::{GrantStorage as _, NewToken, TokenStorage as _};

use crate::support::{TestStorage, alice, run_sql, scope, secret};

/// A commit of several nodes is seen on one before another. What it stores where it is not seen yet,
/// a revocation waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_successor_that_a_node_has_yet_to_commit_is_revoked() {
    let test = TestStorage::new("citus").await;
    if !test.database.is_on_cluster() {
        println!("NOT RUN: s9_a_successor_that_a_node_has_yet_to_commit_is_revoked: no Citus");
        return;
    }
    let (client_id, _) = test.client().await;
    let new = NewToken::new(&client_id, scope(), secret());
    let grant_id = test.storage.create_token(&alice(), new).await.unwrap().grant_id;
    let (shard, host, port): (String, String, i32) = sqlx::query_as(
        "SELECT shard_name, nodename, nodeport FROM citus_shards
         WHERE shardid = get_shard_id_for_distribution_column('oauth_storage.token', sha256('next'))",
    )
    .fetch_one(test.storage.pool())
    .await
    .unwrap();
    let mut node = url::Url::parse(test.database.url()).unwrap();
    node.set_host(Some(&host)).unwrap();
    node.set_port(u16::try_from(port).ok()).unwrap();
    let prepare = format!(
        "BEGIN;
         INSERT INTO {shard} (issued_at, expires_at, grant_id, kind, digest, client_id, scope)
         VALUES (now(), now() + interval '1 hour', '{grant_id}', 'a', sha256('next'), 'a client', '');
         PREPARE TRANSACTION 'citus_test_{grant_id}'"
    );
    run_sql(node.as_str(), &prepare).await;
    let storage = test.storage.clone();
    let revoking = tokio::spawn(async move { storage.revoke_grant(grant_id).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = !revoking.is_finished();
    run_sql(node.as_str(), &format!("COMMIT PREPARED 'citus_test_{grant_id}'")).await;
    let revoked = revoking.await.unwrap();
    assert!(waits, "the revocation did not wait for the node: {revoked:?}");
    assert_eq!(revoked.unwrap(), 2);
}
