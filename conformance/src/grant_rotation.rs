//! Rotating refresh tokens.

use std::time::Duration;

use super::context::{
    Context, SHORT, foreign_secret, ill_formed, new_token, outlast, refused, request, scope,
    secret, short_lived, subject, together, unique,
};
use super::flow::{authorized, grace, granted, next_pair, rotate, rotated, rotation, strict};
use oauth_storage::backend::MAX_REFRESH_TOKEN_GRACE;
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{GrantState, RotationOutcome, TokenRotation};
use oauth_storage::token::{TokenRef, TokenState};
use oauth_storage::{RequestContext, Scope, Settings, TokenPair};

rules!("grant" {
    rotates: "contract 2, rotate: a new pair of the same grant, subject, scope, context and end",
    rotation_does_not_move_the_end: "contract 2, rotate: no setting of a rotation moves the absolute end",
    nothing_outlives_the_refresh_token: "contract 2, rotate: the access token ends with its refresh token at the latest",
    older_access_tokens_stay: "contract 2, rotate: access tokens issued before stay active",
    reuse_revokes_the_grant: "RFC 9700 4.14.2: a rotated token that is used again, at grace zero",
    retry_within_grace: "contract 2, rotate: a retry inside the grace period succeeds",
    grace_is_bounded: "contract 3, bad input: a grace period of more than five minutes is refused",
    foreign_rotation_is_invalid: "contract 2, rotate: of another client, an access token, unknown: invalid",
    scope_never_widens: "RFC 6749 6: a narrower access token, never a wider one",
    largest_scope_is_narrowed: "contract 3: 100 scope tokens are compared as sets",
    wider_reuse_is_a_reuse: "contract 2, rotate: a wider scope does not hide a reuse",
    pair_needs_a_refresh_token: "contract 2, rotate: a pair without a refresh token is refused, and nothing is spent",
    expired_refresh_token_is_invalid: "contract 2, rotate: an expired token is invalid, rotated or not",
    one_rotation_wins: "contract 3, exactly once: of 64 rotations of one token at grace zero one is issued",
    retries_at_once_all_succeed: "contract 2, rotate: 16 retries at once inside the grace period",
});

async fn rotates(cx: Context) {
    let client = cx.client().await;
    let (first, _) = granted(&cx, &request(), &client).await;
    let end = cx.get(&client, TokenRef::Refresh(&first.refresh)).await.expect("stored").expires_at;
    let mut pair = first.clone();
    for _ in 0..3 {
        let next = next_pair(&cx, &strict(), &pair).await;
        assert_eq!(
            (next.grant_id(), &next.token.subject, &next.token.scope, &next.token.context),
            (first.grant_id(), &first.token.subject, &first.token.scope, &first.token.context)
        );
        let old = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await;
        assert_eq!(old.map(|token| token.state), Some(TokenState::Rotated));
        let new = cx.get(&client, TokenRef::Refresh(&next.refresh)).await.expect("stored");
        assert_eq!(new.expires_at, end, "rotation does not move the end");
        assert!(new.is_active() && cx.is_active(&next.access).await);
        pair = next;
    }
}

async fn rotation_does_not_move_the_end(cx: Context) {
    let client = cx.client().await;
    let (mut pair, _) = granted(&cx, &request(), &client).await;
    let end = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored").expires_at;
    for hours in [1, 24 * 365] {
        let mut request = strict();
        request.settings.refresh_token_expires_in = Duration::from_hours(hours);
        pair = next_pair(&cx, &request, &pair).await;
        let new = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
        assert_eq!(new.expires_at, end, "the lifetime is that of the first refresh token");
    }
    let grant = cx.grant(pair.grant_id()).await.expect("a live grant");
    assert_eq!(grant.expires_at, end, "the grant ends with its last credential");
}

async fn nothing_outlives_the_refresh_token(cx: Context) {
    let client = cx.client().await;
    let minute = request().with_settings(
        Settings::default()
            .with_access_token_expires_in(SHORT)
            .with_refresh_token_expires_in(Duration::from_mins(1)),
    );
    let (pair, _) = granted(&cx, &minute, &client).await;
    let end = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored").expires_at;
    let mut day = strict();
    day.settings.access_token_expires_in = Duration::from_hours(24);
    let next = next_pair(&cx, &day, &pair).await;
    assert_eq!(next.token.expires_at, end, "the access token ends at the absolute end");
    let stored = cx.get(&client, TokenRef::Access(&next.access)).await;
    assert_eq!(stored, Some(next.token), "the returned record is the stored one");
}

async fn older_access_tokens_stay(cx: Context) {
    let client = cx.client().await;
    let (first, _) = granted(&cx, &request(), &client).await;
    let second = next_pair(&cx, &strict(), &first).await;
    let third = next_pair(&cx, &strict(), &second).await;
    for access in [&first.access, &second.access, &third.access] {
        assert!(cx.is_active(access).await, "an access token stays active until it expires");
    }
}

async fn reuse_revokes_the_grant(cx: Context) {
    let client = cx.client().await;
    let (first, _) = granted(&cx, &request(), &client).await;
    let (other, _) = granted(&cx, &request(), &client).await;
    let second = next_pair(&cx, &strict(), &first).await;
    let third = next_pair(&cx, &strict(), &second).await;
    let reused = RotationOutcome::Reused { grant_id: first.grant_id() };
    assert_eq!(rotate(&cx, &strict(), &rotation(&first)).await, reused);
    for pair in [&first, &second, &third] {
        for dead in [&pair.access, &pair.refresh] {
            assert!(!cx.is_active(dead).await, "after a reuse no token of the grant is active");
        }
        let outcome = rotate(&cx, &strict(), &rotation(pair)).await;
        assert_eq!(outcome, RotationOutcome::Invalid, "a token of a revoked grant is invalid");
    }
    let grant = cx.grant(first.grant_id()).await.expect("a revoked grant is found");
    assert_eq!(grant.state, GrantState::Revoked);
    assert!(cx.is_active(&other.access).await, "another grant stays");
}

async fn retry_within_grace(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let lenient = grace(Duration::from_secs(30));
    let lost = next_pair(&cx, &lenient, &pair).await;
    let retry = next_pair(&cx, &lenient, &pair).await;
    assert_eq!(retry.grant_id(), pair.grant_id());
    for token in [&lost.access, &lost.refresh, &retry.access, &retry.refresh] {
        assert!(cx.is_active(token).await, "each exchange inside the period gives its own pair");
    }
    outlast().await;
    let late = rotate(&cx, &grace(SHORT), &rotation(&pair)).await;
    let reused = RotationOutcome::Reused { grant_id: pair.grant_id() };
    assert_eq!(late, reused, "after the period it is a reuse");
    for token in [&lost.refresh, &retry.refresh] {
        assert!(!cx.is_active(token).await, "every successor is dead");
    }
}

async fn grace_is_bounded(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let beyond = grace(MAX_REFRESH_TOKEN_GRACE + Duration::from_secs(1));
    let result = cx.storage.rotate_refresh_token(&beyond, rotation(&pair)).await;
    refused(result, "refresh_token_grace", InvalidReason::OutOfRange, "rotate_refresh_token");
}

async fn foreign_rotation_is_invalid(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let (pair, _) = granted(&cx, &request(), &client).await;
    let code = authorized(&cx, &request(), &client).await.code;
    let mut wrong = vec![
        TokenRotation::new(&other, pair.refresh.clone()),
        TokenRotation::new(unique(), pair.refresh.clone()),
        TokenRotation::new(&client, pair.access.clone()),
        TokenRotation::new(&client, code),
        TokenRotation::new(&client, secret()),
        TokenRotation::new(&client, foreign_secret()),
    ];
    wrong.extend(ill_formed().into_iter().map(|odd| TokenRotation::new(&client, odd)));
    for wrong in wrong {
        assert_eq!(rotate(&cx, &strict(), &wrong).await, RotationOutcome::Invalid);
    }
    next_pair(&cx, &strict(), &pair).await;
    let foreign = TokenRotation::new(&other, pair.refresh.clone());
    let outcome = rotate(&cx, &strict(), &foreign).await;
    assert_eq!(outcome, RotationOutcome::Invalid, "another client's is not a reuse either");
    assert!(cx.is_active(&pair.access).await);
}

async fn scope_never_widens(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let with = |scope: &str| rotation(&pair).with_scope(scope.parse().expect("a scope"));
    for wider in [format!("{} admin", pair.token.scope), "admin".into(), "openi".into()] {
        let result = cx.storage.rotate_refresh_token(&strict(), with(&wider)).await;
        refused(result, "scope", InvalidReason::NotAllowed, "a wider scope");
    }
    let narrower = rotated(rotate(&cx, &strict(), &with("openid")).await);
    assert_eq!(narrower.token.scope.as_str(), "openid");
    let found = cx.get(&client, TokenRef::Access(&narrower.access)).await;
    assert_eq!(found, Some(narrower.token.clone()), "the access token is stored as narrowed");
    let kept = cx.get(&client, TokenRef::Refresh(&narrower.refresh)).await.expect("stored");
    assert_eq!(kept.scope, scope(), "the refresh token keeps its scope");
    let full = next_pair(&cx, &strict(), &narrower).await;
    assert_eq!(full.token.scope, scope(), "the next access token has the full scope again");
}

async fn largest_scope_is_narrowed(cx: Context) {
    let client = cx.client().await;
    let largest = super::context::largest_scope();
    let mut new = new_token(&client);
    new.scope = largest.clone();
    let pair = cx.pair_of(&request(), new).await;
    let reversed: Vec<&str> = largest.iter().collect::<Vec<_>>().into_iter().rev().collect();
    let reversed: Scope = reversed.join(" ").parse().expect("a scope of 100 tokens");
    let swapped = format!("{} other", reversed.as_str().rsplit_once(' ').expect("tokens").0);
    let wider = rotation(&pair).with_scope(swapped.parse().expect("a scope of 100 tokens"));
    let result = cx.storage.rotate_refresh_token(&strict(), wider).await;
    refused(result, "scope", InvalidReason::NotAllowed, "a scope with one token of 100 exchanged");
    let same = rotation(&pair).with_scope(reversed.clone());
    let next = rotated(rotate(&cx, &strict(), &same).await);
    assert_eq!(next.token.scope, reversed, "the order of scope tokens means nothing");
}

async fn wider_reuse_is_a_reuse(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let next = next_pair(&cx, &strict(), &pair).await;
    let wider = rotation(&pair).with_scope("openid admin".parse().expect("a scope"));
    let reused = RotationOutcome::Reused { grant_id: pair.grant_id() };
    assert_eq!(rotate(&cx, &strict(), &wider).await, reused);
    assert!(!cx.is_active(&next.refresh).await);
}

async fn pair_needs_a_refresh_token(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let access = foreign_secret();
    let lacking = rotation(&pair).with_tokens(TokenPair::new(access.clone()));
    let result = cx.storage.rotate_refresh_token(&strict(), lacking).await;
    refused(result, "refresh_token", InvalidReason::Missing, "a pair without a refresh token");
    assert_eq!(cx.get(&client, TokenRef::Any(&access)).await, None, "nothing is stored");
    next_pair(&cx, &strict(), &pair).await;
}

async fn expired_refresh_token_is_invalid(cx: Context) {
    let client = cx.client().await;
    let unused = cx.pair(&short_lived(), &client).await;
    // Rotated in time unless the machine is busy. It is invalid afterwards in either case.
    let used = cx.pair(&short_lived(), &client).await;
    let first = rotate(&cx, &strict(), &rotation(&used)).await;
    outlast().await;
    for expired in [&unused, &used] {
        let outcome = rotate(&cx, &strict(), &rotation(expired)).await;
        assert_eq!(outcome, RotationOutcome::Invalid, "an expired refresh token");
    }
    if matches!(first, RotationOutcome::Issued(_)) {
        let grant = cx.grant(used.grant_id()).await;
        let state = grant.map(|grant| grant.state);
        assert_ne!(state, Some(GrantState::Revoked), "nothing is revoked");
    }
}

async fn one_rotation_wins(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, _) = granted(&cx, &user, &client).await;
    let outcomes = together(64, |_| {
        let (cx, rotation) = (cx.clone(), rotation(&pair));
        async move { rotate(&cx, &strict(), &rotation).await }
    })
    .await;
    let reused = RotationOutcome::Reused { grant_id: pair.grant_id() };
    let mut winners = Vec::new();
    for outcome in outcomes.iter().cloned() {
        match outcome {
            RotationOutcome::Issued(issued) => winners.push(issued.tokens),
            other => assert!(other == reused || other == RotationOutcome::Invalid, "{other:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "of 64 rotations of one token one is issued");
    assert!(outcomes.contains(&reused), "a reuse is reported");
    assert!(!cx.is_active(&winners[0].access_token).await, "a reuse revoked the winner's pair");
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    assert_eq!(page.grants, [], "the grant is dead");
}

async fn retries_at_once_all_succeed(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let lenient: RequestContext = grace(MAX_REFRESH_TOKEN_GRACE);
    let pairs = together(16, |_| {
        let (cx, rotation, request) = (cx.clone(), rotation(&pair), lenient.clone());
        async move { rotated(rotate(&cx, &request, &rotation).await) }
    });
    for next in pairs.await {
        assert_eq!(next.grant_id(), pair.grant_id());
        assert!(cx.is_active(&next.access).await && cx.is_active(&next.refresh).await);
    }
}
