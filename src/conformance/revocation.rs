//! Revoking tokens.

use std::time::Duration;

use super::context::{
    Context, Pair, ill_formed, outlast, request, scope, secret, short_lived, strange_client_ids,
    unique,
};
use crate::model::{NewToken, Token, TokenRef, TokenState};
use crate::request::Request;

const ACTIVE: Option<TokenState> = Some(TokenState::Active);
const REVOKED: Option<TokenState> = Some(TokenState::Revoked);

super::room!("revocation" {
    sets_the_flag: "contract 1, revoke_token: the token is found, and told to be revoked",
    access_token_takes_its_pair: "contract 1, revoke_token: an access token takes its pair",
    access_token_takes_its_pair_only: "contract 1, revoke_token: the grant's other pairs and code stay",
    refresh_token_takes_the_grant: "RFC 7009 2.1: a refresh token takes every token of its grant",
    refresh_token_takes_the_code: "RFC 7009 2.1: a refresh token takes the unused code of its grant",
    other_grants_stay: "contract 1, revoke_token: of its grant, not of the client or the subject",
    any_goes_by_what_it_is: "RFC 7009 2.1: without a kind, what the token is decides",
    kind_must_fit: "contract 1, revoke_token: with a kind, a token of the other kind is unknown",
    foreign_is_nothing: "S10, contract 1: of a client that does not own it, nothing",
    unknown_is_success: "RFC 7009 2.2: an unknown token is success",
    ill_formed_is_success: "contract 3, bad input: what cannot be a token is unknown",
    twice_is_once: "RFC 7009 2.2: revoking once more is success, and changes nothing",
    expired_access_token_takes_its_pair: "contract 1, revoke_token: the pair goes though the access token has expired",
    expired_refresh_token_takes_the_grant: "RFC 7009 2.1: the grant goes though the refresh token has expired",
    revoked_goes_before_expired: "contract 1, get_token: a revoked token stays revoked when it expires",
    disabled_client_may_revoke: "contract 2, disable a client: what was issued stays, and can be revoked",
});

/// Another pair of the same grant.
async fn sibling(cx: &Context, request: &Request, pair: &Pair) -> Pair {
    let mut new = NewToken::new(&pair.token.client_id, scope(), secret());
    new.grant_id = pair.token.grant_id;
    cx.pair_of(request, new).await
}

async fn sets_the_flag(cx: Context) {
    let client = cx.client().await;
    let access = secret();
    let new = NewToken::new(&client, scope(), access.clone());
    let before = cx.storage.create_token(&request(), new).await.expect("create_token");
    cx.revoke(&client, TokenRef::Access(&access)).await;
    let found = cx.get(&client, TokenRef::Access(&access)).await;
    let expected = Token { state: TokenState::Revoked, ..before };
    assert_eq!(found, Some(expected), "it is found as revoked, and else unchanged");
}

async fn access_token_takes_its_pair(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    cx.revoke(&client, TokenRef::Access(&pair.access)).await;
    let states = cx.states(&client, &pair).await;
    assert_eq!(states, [REVOKED; 2], "an access token takes the refresh token issued with it");
}

async fn access_token_takes_its_pair_only(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let (code, stored) = cx.code(&request, &client).await;
    let first = cx.pair_of(&request, NewToken::for_code(&stored, secret())).await;
    let second = sibling(&cx, &request, &first).await;
    cx.revoke(&client, TokenRef::Access(&first.access)).await;
    assert_eq!(cx.states(&client, &first).await, [REVOKED; 2]);
    assert_eq!(cx.states(&client, &second).await, [ACTIVE; 2], "another pair of the grant stays");
    assert!(cx.get_code(&client, &code).await.is_some(), "the grant's code stays");
}

async fn refresh_token_takes_the_grant(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let first = cx.pair(&request, &client).await;
    let second = sibling(&cx, &request, &first).await;
    let third = sibling(&cx, &request, &first).await;
    cx.revoke(&client, TokenRef::Refresh(&second.refresh)).await;
    for pair in [&first, &second, &third] {
        let states = cx.states(&client, pair).await;
        assert_eq!(states, [REVOKED; 2], "a refresh token takes every token of its grant");
    }
}

async fn refresh_token_takes_the_code(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let (code, stored) = cx.code(&request, &client).await;
    let (other_code, _) = cx.code(&request, &client).await;
    let pair = cx.pair_of(&request, NewToken::for_code(&stored, secret())).await;
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    let found = cx.get_code(&client, &code).await;
    assert_eq!(found, None, "an unused code of a revoked grant is not found");
    let found = cx.get_code(&client, &other_code).await;
    assert!(found.is_some(), "a code of another grant stays");
}

async fn other_grants_stay(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let request = request();
    let revoked = cx.pair(&request, &client).await;
    let same_subject = cx.pair(&request, &client).await;
    let elsewhere = cx.pair(&request, &other).await;
    let own = cx.pair(&Request::default(), &client).await;
    cx.revoke(&client, TokenRef::Refresh(&revoked.refresh)).await;
    assert_eq!(cx.states(&client, &revoked).await, [REVOKED; 2]);
    assert_eq!(cx.states(&client, &same_subject).await, [ACTIVE; 2], "another grant stays");
    assert_eq!(cx.states(&other, &elsewhere).await, [ACTIVE; 2], "another client's stays");
    assert_eq!(cx.states(&client, &own).await, [ACTIVE; 2], "the client's own stays");
    cx.revoke(&client, TokenRef::Access(&same_subject.access)).await;
    assert_eq!(cx.states(&client, &own).await, [ACTIVE; 2], "the client's own stays");
}

async fn any_goes_by_what_it_is(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let first = cx.pair(&request, &client).await;
    let second = sibling(&cx, &request, &first).await;
    cx.revoke(&client, TokenRef::Any(&first.access)).await;
    assert_eq!(cx.states(&client, &first).await, [REVOKED; 2], "an access token: its pair");
    assert_eq!(cx.states(&client, &second).await, [ACTIVE; 2], "an access token: not the grant");
    let third = sibling(&cx, &request, &first).await;
    cx.revoke(&client, TokenRef::Any(&second.refresh)).await;
    assert_eq!(cx.states(&client, &second).await, [REVOKED; 2]);
    assert_eq!(cx.states(&client, &third).await, [REVOKED; 2], "a refresh token: the grant");
}

async fn kind_must_fit(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    cx.revoke(&client, TokenRef::Refresh(&pair.access)).await;
    cx.revoke(&client, TokenRef::Access(&pair.refresh)).await;
    assert_eq!(
        cx.states(&client, &pair).await,
        [ACTIVE; 2],
        "an access token is no refresh token; a hint is TokenRef::Any"
    );
}

async fn foreign_is_nothing(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let pair = cx.pair(&request(), &owner).await;
    for client in [&other, &unique(), &owner.to_uppercase()] {
        cx.revoke(client, TokenRef::Access(&pair.access)).await;
        cx.revoke(client, TokenRef::Refresh(&pair.refresh)).await;
        cx.revoke(client, TokenRef::Any(&pair.access)).await;
        cx.revoke(client, TokenRef::Any(&pair.refresh)).await;
    }
    let states = cx.states(&owner, &pair).await;
    assert_eq!(states, [ACTIVE; 2], "a token of another client is left alone, in silence");
}

async fn unknown_is_success(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let unknown = secret();
    cx.revoke(&client, TokenRef::Access(&unknown)).await;
    cx.revoke(&client, TokenRef::Refresh(&unknown)).await;
    cx.revoke(&client, TokenRef::Any(&unknown)).await;
    assert_eq!(cx.get(&client, TokenRef::Any(&unknown)).await, None, "nothing is stored by it");
    // Revoked before it was issued is not revoked.
    let new = NewToken::new(&client, scope(), unknown);
    let token = cx.storage.create_token(&request(), new).await.expect("create_token");
    assert!(token.is_active());
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
}

async fn ill_formed_is_success(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    for secret in ill_formed() {
        cx.revoke(&client, TokenRef::Access(&secret)).await;
        cx.revoke(&client, TokenRef::Refresh(&secret)).await;
        cx.revoke(&client, TokenRef::Any(&secret)).await;
    }
    for client in strange_client_ids() {
        cx.revoke(&client, TokenRef::Any(&pair.refresh)).await;
    }
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
}

async fn twice_is_once(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    for _ in 0..3 {
        cx.revoke(&client, TokenRef::Access(&pair.access)).await;
        cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
        assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2], "revoked is for ever");
    }
}

async fn expired_access_token_takes_its_pair(cx: Context) {
    let client = cx.client().await;
    let mut request = short_lived();
    request.settings.refresh_token_expires_in = Duration::from_hours(1);
    let pair = cx.pair(&request, &client).await;
    outlast().await;
    assert_eq!(cx.states(&client, &pair).await, [Some(TokenState::Expired), ACTIVE]);
    cx.revoke(&client, TokenRef::Access(&pair.access)).await;
    let [access, refresh] = cx.states(&client, &pair).await;
    assert_eq!(refresh, REVOKED, "a client that ends its access token late ends the pair");
    assert_ne!(access, ACTIVE);
}

async fn expired_refresh_token_takes_the_grant(cx: Context) {
    let client = cx.client().await;
    let mut request = short_lived();
    request.settings.access_token_expires_in = Duration::from_hours(1);
    let pair = cx.pair(&request, &client).await;
    let other = sibling(&cx, &self::request(), &pair).await;
    outlast().await;
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE, Some(TokenState::Expired)]);
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    let [access, refresh] = cx.states(&client, &pair).await;
    assert_eq!(access, REVOKED, "the live access token goes with its expired refresh token");
    assert_ne!(refresh, ACTIVE);
    assert_eq!(cx.states(&client, &other).await, [REVOKED; 2], "every live token of the grant");
}

async fn revoked_goes_before_expired(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&short_lived(), &client).await;
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    outlast().await;
    let states = cx.states(&client, &pair).await;
    assert_eq!(states, [REVOKED; 2], "the order of states is revoked, rotated, expired, active");
}

async fn disabled_client_may_revoke(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    assert!(cx.storage.set_client_disabled(&client, true).await.expect("disable"));
    let states = cx.states(&client, &pair).await;
    assert_eq!(states, [ACTIVE; 2], "what was issued before stays until it is revoked");
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
}
