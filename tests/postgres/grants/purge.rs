use std::ops::ControlFlow;
use std::time::Duration;

use oauth_storage::grant::{Purged, RotationOutcome, TokenRotation};
use oauth_storage::{GrantStorage as _, GrantStorageExt as _, RedemptionOutcome};

use super::{code, grace, issue, next, redeem, refresh_of, rotate, rows};
use crate::support::{TestStorage, alice, store_expired_tokens};

#[tokio::test]
async fn purge_removes_what_expired_and_keeps_what_replay_detection_needs() {
    let test = TestStorage::new("purge").await;
    let (client_id, _) = test.client().await;
    let strict = grace(Duration::ZERO);
    // Two codes, because a replay revokes the grant.
    let (first, second) =
        (code(&test, &client_id, &alice()).await, code(&test, &client_id, &alice()).await);
    let issued = issue(&test.storage, &first).await;
    next(&test.storage, &strict, &client_id, refresh_of(&issued)).await;
    issue(&test.storage, &second).await;
    let left = test.storage.purge_with(100, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!(left, Purged::default());
    // The used tokens and codes still reveal a second use.
    let again = TokenRotation::new(&client_id, refresh_of(&issued).clone());
    let again = rotate(&test.storage, &strict, &again).await;
    assert!(matches!(again, RotationOutcome::Reused { .. }), "{again:?}");
    let again = redeem(&test.storage, &second).await;
    assert!(matches!(again, RedemptionOutcome::Replayed { .. }), "{again:?}");

    test.sql(&store_expired_tokens(1000, &client_id)).await;
    test.sql("UPDATE oauth_storage.authorization_code SET expires_at = now()").await;
    // It can be stopped, and continues where it stopped.
    let mut batches = 0;
    let stopped = test.storage.purge_with(100, |batch| {
        assert!(batch.tokens <= 100);
        batches += 1;
        if batches == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let stopped = stopped.await.unwrap();
    assert_eq!((stopped.tokens, stopped.grants), (300, 300), "a grant goes with its last token");
    assert_eq!((stopped.authorization_codes, stopped.more), (2, true));
    let oldest = "SELECT count(*) = 700 AND min(expires_at) > now() - interval '7010 seconds'
         FROM oauth_storage.authorization_grant WHERE subject = 'robot'";
    let oldest: bool = sqlx::query_scalar(oldest).fetch_one(test.storage.pool()).await.unwrap();
    assert!(oldest, "the oldest went first");
    let rest = test.storage.purge_with(100, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((rest.tokens, rest.grants, rest.more), (700, 700, false));
    assert_eq!(rows(&test).await.0, 3, "unexpired tokens stay");
    for limit in [0, 100_001] {
        assert!(test.storage.purge_expired(limit).await.is_err());
    }
}
