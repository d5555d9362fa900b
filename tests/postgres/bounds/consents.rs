//! Deletion of consents beside additions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oauth_storage::{ClientRegistry as _, ConsentStorage as _, GrantStorage as _};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::new;
use crate::support::scope;

/// A subject who never stops consenting does not keep the erasure, and no deadlock arises.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_an_erasure_ends_while_consents_are_added() {
    let (test, _) = new("erased_consents").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(test.client().await.0);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut adding = JoinSet::new();
    for task in 0..16 {
        let (storage, clients, stop) = (test.storage.clone(), clients.clone(), Arc::clone(&stop));
        adding.spawn(async move {
            let mut added = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                let client_id = &clients[(added + task) % clients.len()];
                storage.add_consent("alice", client_id, &scope()).await.unwrap();
                added += 1;
            }
            added
        });
    }
    let erase = async {
        for _ in 0..20 {
            test.storage.erase_subject("alice").await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), erase).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let added: usize = adding.join_all().await.into_iter().sum();
    assert!(added > 100, "they were added meanwhile: {added}");
    test.storage.erase_subject("alice").await.unwrap();
    assert_eq!(test.storage.list_consents("alice", None, 100).await.unwrap(), []);
    assert!(test.storage.delete_client(&clients[0]).await.unwrap());
    test.storage.close().await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let deadlocks: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    assert_eq!(deadlocks, 0);
}
