use std::ops::ControlFlow;
use std::time::Duration;

use oauth_storage::{GrantStorage as _, Redeemed, Request, Rotated, purge};

use super::{code, grace, issue, rotate, rotation, rows};
use crate::support::{TestStorage, alice};

#[tokio::test]
async fn purge_removes_what_expired_and_keeps_what_replay_detection_needs() {
    let test = TestStorage::new("purge").await;
    let (client_id, _) = test.client().await;
    let redeem = code(&test, &client_id, &alice()).await;
    issue(&test.storage, &redeem).await;
    let refresh = redeem.refresh_token.clone().unwrap();
    let strict = grace(Duration::ZERO);
    rotate(&test.storage, &strict, &rotation(&client_id, &refresh)).await;
    let left = purge(&test.storage, 100, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((left.tokens, left.authorization_codes, left.more), (0, 0, false));
    // The tombstones tell a second use still.
    let again = rotate(&test.storage, &strict, &rotation(&client_id, &refresh)).await;
    assert!(matches!(again, Rotated::Reused { .. }));
    let again = test.storage.redeem_authorization_code(&Request::default(), redeem.clone()).await;
    assert!(matches!(again.unwrap(), Redeemed::Replayed { .. }));

    test.sql(&format!(
        "INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest,
             client_id, subject, scope)
         SELECT now(), now() - n * interval '10 s', gen_random_uuid(), 'a',
             sha256(n::text::bytea), '{client_id}', 'robot', n::text FROM generate_series(1, 1000) n;
         UPDATE oauth_storage.authorization_code SET expires_at = now()"
    ))
    .await;
    // It can be stopped, and goes on where it was.
    let mut batches = 0;
    let stopped = purge(&test.storage, 100, |batch| {
        assert!(batch.tokens <= 100);
        batches += 1;
        if batches == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let stopped = stopped.await.unwrap();
    assert_eq!((stopped.tokens, stopped.authorization_codes, stopped.more), (300, 1, true));
    let oldest = "SELECT count(*) = 700 AND max(scope::int) = 700 FROM oauth_storage.token
         WHERE subject = 'robot'";
    let oldest: bool = sqlx::query_scalar(oldest).fetch_one(test.storage.pool()).await.unwrap();
    assert!(oldest, "the oldest went first");
    let rest = purge(&test.storage, 100, |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((rest.tokens, rest.more), (700, false));
    assert_eq!(rows(&test).await.0, 2, "what has not expired stays");
    for limit in [0, 100_001] {
        assert!(test.storage.purge_expired(limit).await.is_err());
    }
}
