//! Refresh tokens that are exchanged for a new pair.

use std::time::Duration;

use super::context::{
    Context, ill_formed, outlast, refused, request, scope, secret, short_lived, together, unique,
};
use super::grant::{active, grace, granted, renewed, rotate, rotation, somebody};
use crate::error::Problem;
use crate::model::{NewToken, Rotate, Rotated, TokenRef, TokenState};
use crate::request::MAX_REFRESH_TOKEN_GRACE;

super::room!("grant" {
    rotates: "contract 2, rotate: a new pair of the same grant, scope, context and end",
    reuse_revokes_the_grant: "RFC 9700 4.14.2: a rotated token that is used again, at grace zero",
    retry_within_grace: "contract 2, rotate: a retry inside the grace period succeeds",
    grace_is_bounded: "contract 3, bad input: a grace period beyond five minutes is refused",
    foreign_rotation_is_invalid: "contract 2, rotate: of another client, an access token, unknown: invalid",
    scope_never_widens: "RFC 6749 6: a narrower access token, never a wider one",
    expired_refresh_token_is_invalid: "contract 2, rotate: an expired token is invalid, rotated or not",
    one_rotation_wins: "contract 3, exactly once: of 64 rotations of one token at grace zero one is issued",
});

async fn rotates(cx: Context) {
    let client = cx.client().await;
    let user = somebody();
    let (first, _, mut refresh) = granted(&cx, &user, &client).await;
    let ends = cx.get(&client, TokenRef::Refresh(&refresh)).await.expect("stored").expires_at;
    for _ in 0..3 {
        let next = rotation(&client, &refresh);
        let token = renewed(rotate(&cx, &grace(Duration::ZERO), &next).await);
        assert_eq!(
            (token.grant_id, &token.subject, &token.scope, &token.context),
            (first.grant_id, &first.subject, &first.scope, &first.context)
        );
        let old = cx.get(&client, TokenRef::Refresh(&refresh)).await.expect("a tombstone stays");
        assert_eq!(old.state, TokenState::Rotated);
        refresh = next.new_refresh_token;
        let new = cx.get(&client, TokenRef::Refresh(&refresh)).await.expect("stored");
        assert_eq!(new.expires_at, ends, "rotation does not move the end");
        assert!(new.is_active() && active(&cx, &next.new_access_token).await);
    }
}

async fn reuse_revokes_the_grant(cx: Context) {
    let client = cx.client().await;
    let (token, code, refresh) = granted(&cx, &request(), &client).await;
    let (other, _, _) = granted(&cx, &request(), &client).await;
    let strict = grace(Duration::ZERO);
    let once = rotation(&client, &refresh);
    renewed(rotate(&cx, &strict, &once).await);
    let again = rotation(&client, &refresh);
    let reused = Rotated::Reused { grant_id: token.grant_id };
    assert_eq!(rotate(&cx, &strict, &again).await, reused);
    for dead in [
        &code.access_token,
        &once.new_access_token,
        &once.new_refresh_token,
        &again.new_access_token,
    ] {
        assert!(!active(&cx, dead).await, "after a reuse no token of the grant is active");
    }
    let next = rotation(&client, &once.new_refresh_token);
    assert_eq!(rotate(&cx, &strict, &next).await, Rotated::Invalid, "a revoked token is invalid");
    assert_ne!(other.grant_id, token.grant_id);
}

async fn retry_within_grace(cx: Context) {
    let client = cx.client().await;
    let (_, _, refresh) = granted(&cx, &request(), &client).await;
    let (lost, retry) = (rotation(&client, &refresh), rotation(&client, &refresh));
    let lenient = grace(Duration::from_secs(30));
    renewed(rotate(&cx, &lenient, &lost).await);
    renewed(rotate(&cx, &lenient, &retry).await);
    for token in [&lost.new_access_token, &retry.new_access_token, &retry.new_refresh_token] {
        assert!(active(&cx, token).await, "each exchange within the period has a pair of its own");
    }
    let brief = grace(super::context::SHORT);
    outlast().await;
    let late = rotate(&cx, &brief, &rotation(&client, &refresh)).await;
    assert!(matches!(late, Rotated::Reused { .. }), "after the period it is a reuse: {late:?}");
    assert!(!active(&cx, &retry.new_refresh_token).await, "every branch dies");
}

async fn grace_is_bounded(cx: Context) {
    let client = cx.client().await;
    let (_, _, refresh) = granted(&cx, &request(), &client).await;
    let beyond = grace(MAX_REFRESH_TOKEN_GRACE + Duration::from_secs(1));
    let result = cx.storage.rotate_refresh_token(&beyond, rotation(&client, &refresh)).await;
    refused(result, "refresh_token_grace", Problem::OutOfRange, "rotate");
}

async fn foreign_rotation_is_invalid(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let (_, code, refresh) = granted(&cx, &request(), &client).await;
    let strict = grace(Duration::ZERO);
    let mut wrong = vec![
        rotation(&other, &refresh),
        rotation(&unique(), &refresh),
        rotation(&client, &code.access_token),
        rotation(&client, &secret()),
    ];
    wrong.extend(ill_formed().iter().map(|odd| rotation(&client, odd)));
    for wrong in wrong {
        assert_eq!(rotate(&cx, &strict, &wrong).await, Rotated::Invalid);
    }
    renewed(rotate(&cx, &strict, &rotation(&client, &refresh)).await);
    let reused = rotation(&other, &refresh);
    assert_eq!(rotate(&cx, &strict, &reused).await, Rotated::Invalid, "nor is it a reuse");
    assert!(active(&cx, &code.access_token).await);
}

async fn scope_never_widens(cx: Context) {
    let client = cx.client().await;
    let (token, _, refresh) = granted(&cx, &request(), &client).await;
    let with = |scope: &str| Rotate {
        scope: Some(scope.parse().expect("a scope")),
        ..rotation(&client, &refresh)
    };
    let wider = with(&format!("{} admin", token.scope));
    let result = cx.storage.rotate_refresh_token(&request(), wider).await;
    refused(result, "scope", Problem::NotAllowed, "a wider scope");
    let first = token.scope.iter().next().expect("the suite's scope has tokens").to_owned();
    let narrower = with(&first);
    let token = renewed(rotate(&cx, &grace(Duration::ZERO), &narrower).await);
    assert_eq!(token.scope.as_str(), first);
    let next = narrower.new_refresh_token;
    let kept = cx.get(&client, TokenRef::Refresh(&next)).await.expect("stored");
    assert_eq!(kept.scope, scope(), "the refresh token keeps its scope");
}

async fn expired_refresh_token_is_invalid(cx: Context) {
    let client = cx.client().await;
    let refresh = secret();
    let new = NewToken::new(&client, scope(), secret()).with_refresh_token(refresh.clone());
    cx.storage.create_token(&short_lived(), new).await.expect("create_token");
    outlast().await;
    let late = rotation(&client, &refresh);
    assert_eq!(rotate(&cx, &request(), &late).await, Rotated::Invalid);
}

async fn one_rotation_wins(cx: Context) {
    let client = cx.client().await;
    let (token, _, refresh) = granted(&cx, &request(), &client).await;
    let outcomes = together(64, |_| {
        let (cx, rotation) = (cx.clone(), rotation(&client, &refresh));
        async move { rotate(&cx, &grace(Duration::ZERO), &rotation).await }
    })
    .await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Rotated::Issued(_))).count();
    assert_eq!(won, 1, "of 64 rotations of one token one is issued");
    let reused = Rotated::Reused { grant_id: token.grant_id };
    assert!(outcomes.contains(&reused), "and the others are told of the reuse");
    let subject = token.subject.expect("it has one");
    let grants = cx.storage.list_grants(&subject, None, 1000).await.expect("list_grants");
    assert!(grants.iter().all(|grant| grant.grant_id != token.grant_id), "the grant is dead");
}
