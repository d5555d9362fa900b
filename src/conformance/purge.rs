//! Removing what has expired. A purge sees everybody's rows, so these rules run alone.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, outlast, refused, request, scope, secret, short_lived};
use super::grant::{active, authorized, grace, granted, redeem, renewed, rotate, rotation};
use crate::error::Problem;
use crate::model::{NewToken, Redeem, Redeemed, Rotated, TokenRef};
use crate::storage::purge;

super::room!("purge" {
    removes_what_expired: "contract 2, purge: expired tokens and codes, and nothing else",
    goes_batch_by_batch: "contract 2, purge: in bounded batches, and whether there is more",
});

async fn removes_what_expired(cx: Context) {
    let client = cx.client().await;
    let expired = secret();
    let new = NewToken::new(&client, scope(), expired.clone());
    cx.storage.create_token(&short_lived(), new).await.expect("create_token");
    let code = authorized(&cx, &short_lived(), &client).await;
    let (_, kept, refresh) = granted(&cx, &request(), &client).await;
    renewed(rotate(&cx, &grace(Duration::ZERO), &rotation(&client, &refresh)).await);
    outlast().await;
    let storage = Arc::clone(&cx.storage);
    let purged = purge(&storage, 100, |_| ControlFlow::Continue(())).await.expect("purge");
    assert!(!purged.more, "it goes on until nothing is left");
    assert_eq!(cx.get(&client, TokenRef::Access(&expired)).await, None, "an expired token goes");
    assert_eq!(cx.get_code(&client, &code.code).await, None, "an expired code goes");
    assert!(active(&cx, &kept.access_token).await, "what is active stays");
    let again = rotate(&cx, &grace(Duration::ZERO), &rotation(&client, &refresh)).await;
    assert!(matches!(again, Rotated::Reused { .. }), "what tells a reuse stays");
    let again = Redeem { access_token: secret(), refresh_token: None, ..kept };
    let again = redeem(&cx, &again).await;
    assert!(matches!(again, Redeemed::Replayed { .. }), "what tells a replay stays");
    for limit in [0, 100_001] {
        refused(storage.purge_expired(limit).await, "limit", Problem::OutOfRange, "purge");
    }
}

async fn goes_batch_by_batch(cx: Context) {
    let client = cx.client().await;
    for _ in 0..5 {
        let new = NewToken::new(&client, scope(), secret());
        cx.storage.create_token(&short_lived(), new).await.expect("create_token");
    }
    outlast().await;
    let first = cx.storage.purge_expired(2).await.expect("purge_expired");
    assert_eq!((first.tokens, first.more), (2, true), "a batch is no larger than asked for");
    let storage = Arc::clone(&cx.storage);
    let mut batches = Vec::new();
    let told = |batch| {
        batches.push(batch);
        if batches.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = purge(&storage, 1, told).await.expect("purge");
    assert_eq!((stopped.tokens, batches.len()), (2, 2), "the callback is told, and may stop it");
    let rest = purge(&storage, 100, |_| ControlFlow::Continue(())).await.expect("purge");
    assert!(rest.tokens >= 1 && !rest.more, "and it goes on where it was");
}
