use std::ops::ControlFlow;
use std::time::Duration;

use oauth_storage::grant::{Purged, RotationOutcome, TokenRotation};
use oauth_storage::{GrantStorage as _, GrantStorageExt as _, RedemptionOutcome};

use tokio::task::JoinSet;
use uuid::Uuid;

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

/// A revocation changes grants between the scan of a purge and its deletion. No grant stays without its
/// credentials, because nothing would find it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_beside_a_revocation_leaves_no_grant() {
    let test = TestStorage::new("purge_revocation").await;
    let (client_id, _) = test.client().await;
    for round in 0..10 {
        test.sql(&store_expired_tokens(1_000, &client_id)).await;
        test.sql(&format!(
            "INSERT INTO oauth_storage.device_authorization (issued_at, expires_at, grant_id, digest,
                 digest_tail, user_code_digest, poll_interval, state, client_id, scope)
             SELECT now(), now() - interval '1 minute', gen_random_uuid(), gen_random_uuid(),
                 gen_random_uuid(), gen_random_uuid(), 5, 'a', '{client_id}', ''
             FROM generate_series(1, 1000);
             INSERT INTO oauth_storage.authorization_grant (granted_at, expires_at, grant_id, client_id,
                 subject, scope)
             SELECT issued_at, expires_at, grant_id, client_id, 'robot', ''
             FROM oauth_storage.device_authorization;
             ANALYZE oauth_storage.device_authorization, oauth_storage.authorization_grant"
        ))
        .await;
        let grant_ids: Vec<Uuid> =
            sqlx::query_scalar("SELECT grant_id FROM oauth_storage.authorization_grant")
                .fetch_all(test.storage.pool())
                .await
                .unwrap();
        let mut revoking = JoinSet::new();
        for part in grant_ids.chunks(grant_ids.len().div_ceil(8)) {
            let (storage, part) = (test.storage.clone(), part.to_vec());
            revoking.spawn(async move {
                for grant_id in part {
                    storage.revoke_grant(grant_id).await.unwrap();
                }
            });
        }
        test.storage.purge_with(50, |_| ControlFlow::Continue(())).await.unwrap();
        revoking.join_all().await;
        test.storage.purge_with(1_000, |_| ControlFlow::Continue(())).await.unwrap();
        let left: i64 =
            sqlx::query_scalar("SELECT count(*) FROM oauth_storage.authorization_grant")
                .fetch_one(test.storage.pool())
                .await
                .unwrap();
        assert_eq!(left, 0, "round {round}");
    }
}
