//! The conformance harness of oauth-as.

use std::sync::Arc;

use oauth_as::storage_conformance::StorageConformance;

use crate::support::TestStorage;

/// Twice in a row, because a race may be won by luck.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_harness_of_oauth_as_finds_no_violation() {
    let test = Arc::new(TestStorage::new("harness").await);
    for _ in 0..2 {
        let violations = StorageConformance::new(|| async {
            test.clear().await;
            test.storage.clone()
        })
        .with_spawn(|task| drop(tokio::spawn(task)))
        .racers(64)
        .run()
        .await;
        assert!(violations.is_empty(), "{violations:#?}");
    }
    test.assert_no_deadlock().await;
}
