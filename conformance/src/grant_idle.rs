//! The idle lifetime of refresh tokens.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::context::{Context, Pair, SHORT, outlast, request};
use super::flow::{granted, next_pair, rotate, rotation};
use oauth_storage::grant::{GrantState, RotationOutcome};
use oauth_storage::token::{Token, TokenRef, TokenState};
use oauth_storage::{RequestContext, Settings};

rules!("grant" {
    idle_ends_an_unused_refresh_token: "contract 2, rotate: a refresh token ends if it is not used for the idle lifetime",
    idle_begins_with_the_first_token: "contract 2: the first refresh token has the idle lifetime, up to the absolute end",
    idle_is_renewed_by_rotation: "contract 2, rotate: the successor ends at now + idle",
    idle_stops_at_the_absolute_end: "contract 2, rotate: the successor ends at the absolute end at the latest",
    idle_switched_on_keeps_the_absolute_end: "contract 2, rotate: the absolute end stays that of the first refresh token",
    idle_switched_off_keeps_the_absolute_end: "contract 2, rotate: without an idle lifetime the successor ends at the absolute end",
    grant_ends_with_its_last_credential: "contract 2: expires_at of a grant follows its credentials, and never goes back",
});

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// A request of a new user with an absolute lifetime, and perhaps an idle one, of refresh tokens.
fn lifetimes(absolute: Duration, idle: Option<Duration>) -> RequestContext {
    request().with_settings(
        Settings::default()
            .with_access_token_expires_in(Duration::from_mins(5))
            .with_refresh_token_expires_in(absolute)
            .with_refresh_token_idle_expires_in(idle)
            .with_refresh_token_grace(Duration::ZERO),
    )
}

fn after(start: DateTime<Utc>, lifetime: Duration) -> DateTime<Utc> {
    start + TimeDelta::from_std(lifetime).expect("a short lifetime")
}

async fn refresh_token(cx: &Context, pair: &Pair) -> Token {
    let found = cx.get(&pair.token.client_id, TokenRef::Refresh(&pair.refresh)).await;
    found.expect("the refresh token was stored")
}

async fn grant_end(cx: &Context, pair: &Pair) -> DateTime<Utc> {
    cx.grant(pair.grant_id()).await.expect("the grant was stored").expires_at
}

async fn idle_ends_an_unused_refresh_token(cx: Context) {
    let client = cx.client().await;
    let request = lifetimes(DAY, Some(SHORT));
    let (pair, _) = granted(&cx, &request, &client).await;
    outlast().await;
    assert_eq!(refresh_token(&cx, &pair).await.state, TokenState::Expired);
    let outcome = rotate(&cx, &request, &rotation(&pair)).await;
    assert_eq!(outcome, RotationOutcome::Invalid, "an idle refresh token has ended");
    assert!(cx.is_active(&pair.access).await, "the access token has its own lifetime");
    let grant = cx.grant(pair.grant_id()).await.expect("stored");
    assert_eq!(grant.state, GrantState::Active, "and so the grant is live");
}

async fn idle_begins_with_the_first_token(cx: Context) {
    let client = cx.client().await;
    for (absolute, idle, lifetime) in [(DAY, HOUR, HOUR), (HOUR, DAY, HOUR)] {
        let request = lifetimes(absolute, Some(idle));
        let created = cx.pair(&request, &client).await;
        let (redeemed, _) = granted(&cx, &request, &client).await;
        for pair in [created, redeemed] {
            let refresh = refresh_token(&cx, &pair).await;
            assert_eq!(refresh.expires_at, after(refresh.issued_at, lifetime));
            assert_eq!(grant_end(&cx, &pair).await, refresh.expires_at);
        }
    }
}

async fn idle_is_renewed_by_rotation(cx: Context) {
    let client = cx.client().await;
    let request = lifetimes(DAY, Some(HOUR));
    let (mut pair, _) = granted(&cx, &request, &client).await;
    for _ in 0..3 {
        let before = refresh_token(&cx, &pair).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        pair = next_pair(&cx, &request, &pair).await;
        let refresh = refresh_token(&cx, &pair).await;
        assert_eq!(refresh.expires_at, after(refresh.issued_at, HOUR), "now + idle");
        assert!(refresh.expires_at > before.expires_at);
        assert_eq!(grant_end(&cx, &pair).await, refresh.expires_at, "the grant's end follows");
    }
    // The lifetime is the setting of each rotation.
    let longer = lifetimes(DAY, Some(2 * HOUR));
    pair = next_pair(&cx, &longer, &pair).await;
    let refresh = refresh_token(&cx, &pair).await;
    assert_eq!(refresh.expires_at, after(refresh.issued_at, 2 * HOUR));
}

async fn idle_stops_at_the_absolute_end(cx: Context) {
    let client = cx.client().await;
    let request = lifetimes(HOUR, Some(Duration::from_mins(10)));
    let (first, _) = granted(&cx, &request, &client).await;
    let end = after(first.token.issued_at, HOUR);
    // A rotation that is more generous does not move the absolute end.
    let generous = lifetimes(30 * DAY, Some(DAY));
    let second = next_pair(&cx, &generous, &first).await;
    assert_eq!(refresh_token(&cx, &second).await.expires_at, end);
    let third = next_pair(&cx, &request, &second).await;
    let refresh = refresh_token(&cx, &third).await;
    assert_eq!(refresh.expires_at, after(refresh.issued_at, Duration::from_mins(10)));
    let fourth = next_pair(&cx, &generous, &third).await;
    assert_eq!(refresh_token(&cx, &fourth).await.expires_at, end);
    assert_eq!(grant_end(&cx, &fourth).await, end);
}

async fn idle_switched_on_keeps_the_absolute_end(cx: Context) {
    let client = cx.client().await;
    let (first, _) = granted(&cx, &lifetimes(DAY, None), &client).await;
    let end = refresh_token(&cx, &first).await.expires_at;
    assert_eq!(end, after(first.token.issued_at, DAY));
    let second = next_pair(&cx, &lifetimes(DAY, Some(HOUR)), &first).await;
    let refresh = refresh_token(&cx, &second).await;
    assert_eq!(refresh.expires_at, after(refresh.issued_at, HOUR));
    let third = next_pair(&cx, &lifetimes(DAY, Some(30 * DAY)), &second).await;
    assert_eq!(refresh_token(&cx, &third).await.expires_at, end);
    let fourth = next_pair(&cx, &lifetimes(DAY, Some(HOUR)), &third).await;
    let fifth = next_pair(&cx, &lifetimes(DAY, None), &fourth).await;
    assert_eq!(refresh_token(&cx, &fifth).await.expires_at, end);
    assert_eq!(grant_end(&cx, &fifth).await, end);
}

async fn idle_switched_off_keeps_the_absolute_end(cx: Context) {
    let client = cx.client().await;
    let created = cx.pair(&lifetimes(DAY, Some(HOUR)), &client).await;
    let (redeemed, _) = granted(&cx, &lifetimes(DAY, Some(HOUR)), &client).await;
    for first in [created, redeemed] {
        let end = after(first.token.issued_at, DAY);
        let second = next_pair(&cx, &lifetimes(30 * DAY, None), &first).await;
        assert_eq!(refresh_token(&cx, &second).await.expires_at, end);
        let third = next_pair(&cx, &lifetimes(DAY, Some(HOUR)), &second).await;
        let refresh = refresh_token(&cx, &third).await;
        assert_eq!(refresh.expires_at, after(refresh.issued_at, HOUR));
        let fourth = next_pair(&cx, &lifetimes(DAY, None), &third).await;
        assert_eq!(refresh_token(&cx, &fourth).await.expires_at, end);
        assert_eq!(grant_end(&cx, &fourth).await, end);
    }
}

async fn grant_ends_with_its_last_credential(cx: Context) {
    let client = cx.client().await;
    let (_, code) = cx.code(&request(), &client).await;
    let grant = cx.grant(code.grant_id).await.expect("a grant begins with its code");
    assert_eq!(grant.expires_at, code.expires_at, "before the exchange the code is the last");

    let first = cx.pair(&lifetimes(DAY, None), &client).await;
    let end = grant_end(&cx, &first).await;
    assert_eq!(end, refresh_token(&cx, &first).await.expires_at);
    // A further pair that ends earlier moves nothing, one that ends later does.
    cx.sibling(&lifetimes(HOUR, None), &first).await;
    assert_eq!(grant_end(&cx, &first).await, end);
    let later = cx.sibling(&lifetimes(2 * DAY, None), &first).await;
    assert_eq!(grant_end(&cx, &first).await, refresh_token(&cx, &later).await.expires_at);
    // Without a refresh token it is the access token.
    let mut new = super::context::new_token(&client);
    new.tokens = new.tokens.without_refresh_token();
    let token = cx.create(&request(), new).await;
    let grant = cx.grant(token.grant_id).await.expect("stored");
    assert_eq!((grant.granted_at, grant.expires_at), (token.issued_at, token.expires_at));
}
