//! Revoking tokens.

use std::time::Duration;

use super::context::{
    ACTIVE, Context, REVOKED, foreign_secret, foreign_tokens, ill_formed, joining, new_token,
    outlast, request, scope, secret, short_lived, strange_client_ids, subject, tokens, tokens_for,
    unique,
};
use super::flow::{
    authorized_by, granted, issued_pair, next_pair, redeem, rotate, rotation, strict,
};
use oauth_storage::grant::{GrantState, RotationOutcome};
use oauth_storage::token::{NewToken, Token, TokenRef, TokenState};
use oauth_storage::{RedemptionOutcome, RequestContext, TokenPair};

rules!("revocation" {
    sets_the_flag: "contract 1, revoke_token: the token is found, and is revoked",
    access_token_ends_its_grant: "RFC 7009 2.1: an access token ends every token of its grant",
    refresh_token_ends_its_grant: "RFC 7009 2.1: a refresh token ends every token of its grant",
    ends_rotated_successors: "RFC 7009 2.1: any token of a grant, rotated or not, ends its successors",
    ends_the_unused_code: "RFC 7009 2.1: a token ends the unused code of its grant",
    ends_what_was_redeemed: "RFC 7009 2.1: after it nothing of the grant is issued or replayed",
    ends_tokens_made_elsewhere: "contract 1: a credential that names no grant is revoked as well",
    revoked_grant_is_found_as_such: "contract 2, get_grant, list: the grant is revoked and no longer listed",
    other_grants_stay: "contract 1, revoke_token: not the other grants of the client or the subject",
    any_ends_its_grant: "RFC 7009 2.1: without a kind, either token ends the grant",
    kind_must_fit: "contract 1, revoke_token: with a kind, a token of the other kind is unknown",
    foreign_is_nothing: "S10, contract 1: of a client that does not own it, nothing",
    unknown_is_success: "RFC 7009 2.2: an unknown token is success",
    ill_formed_is_success: "contract 3, bad input: an ill-formed token is unknown",
    twice_is_once: "RFC 7009 2.2: revoking a second time is success, and changes nothing",
    expired_access_token_ends_its_grant: "RFC 7009 2.1: the grant ends though the access token has expired",
    expired_refresh_token_ends_its_grant: "RFC 7009 2.1: the grant ends though the refresh token has expired",
    revoked_precedes_expired: "contract 1, get_token: a revoked token stays revoked when it expires",
    revoked_precedes_rotated: "contract 1, get_token: a rotated token of a revoked grant is revoked",
    disabled_client_may_revoke: "contract 2, disable a client: its tokens stay, and can be revoked",
});

async fn sets_the_flag(cx: Context) {
    let client = cx.client().await;
    let tokens = tokens().without_refresh_token();
    let new = NewToken::new(&client, scope(), tokens.clone());
    let before = cx.create(&request(), new).await;
    let access = TokenRef::Access(&tokens.access_token);
    cx.revoke(&client, access).await;
    let expected = Token { state: TokenState::Revoked, ..before };
    assert_eq!(cx.get(&client, access).await, Some(expected), "only its state has changed");
}

async fn access_token_ends_its_grant(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let first = cx.pair(&request, &client).await;
    let second = cx.sibling(&request, &first).await;
    cx.revoke(&client, TokenRef::Access(&second.access)).await;
    for pair in [&first, &second] {
        let states = cx.states(&client, pair).await;
        assert_eq!(states, [REVOKED; 2], "an access token ends every token of its grant");
    }
}

async fn refresh_token_ends_its_grant(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let first = cx.pair(&request, &client).await;
    let second = cx.sibling(&request, &first).await;
    let third = cx.sibling(&request, &first).await;
    cx.revoke(&client, TokenRef::Refresh(&second.refresh)).await;
    for pair in [&first, &second, &third] {
        let states = cx.states(&client, pair).await;
        assert_eq!(states, [REVOKED; 2], "a refresh token ends every token of its grant");
    }
}

async fn ends_rotated_successors(cx: Context) {
    let client = cx.client().await;
    for named in 0..6 {
        let (first, _) = granted(&cx, &request(), &client).await;
        let second = next_pair(&cx, &strict(), &first).await;
        let third = next_pair(&cx, &strict(), &second).await;
        let pairs = [first, second, third];
        let pair = &pairs[named / 2];
        match named % 2 {
            0 => cx.revoke(&client, TokenRef::Access(&pair.access)).await,
            _ => cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await,
        }
        for pair in &pairs {
            assert_eq!(cx.states(&client, pair).await, [REVOKED; 2], "by token {named}");
            assert!(!cx.is_active(&pair.access).await && !cx.is_active(&pair.refresh).await);
            let outcome = rotate(&cx, &strict(), &rotation(pair)).await;
            assert_eq!(outcome, RotationOutcome::Invalid, "nothing is issued any more");
        }
    }
}

async fn ends_the_unused_code(cx: Context) {
    let client = cx.client().await;
    let request = request();
    for by_access_token in [true, false] {
        let redemption = authorized_by(&cx, &request, &client, secret()).await;
        let stored = cx.get_code(&client, &redemption.code).await.expect("stored");
        let (other_code, _) = cx.code(&request, &client).await;
        let new = NewToken::for_code(&stored, tokens_for(stored.grant_id));
        let pair = cx.pair_of(&request, new).await;
        match by_access_token {
            true => cx.revoke(&client, TokenRef::Access(&pair.access)).await,
            false => cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await,
        }
        let found = cx.get_code(&client, &redemption.code).await;
        assert_eq!(found, None, "an unused code of a revoked grant is not found");
        let outcome = redeem(&cx, &redemption).await;
        assert_eq!(outcome, RedemptionOutcome::Invalid, "nor is it redeemed");
        let found = cx.get_code(&client, &other_code).await;
        assert!(found.is_some(), "a code of another grant stays");
    }
}

async fn ends_what_was_redeemed(cx: Context) {
    let client = cx.client().await;
    let (pair, redemption) = granted(&cx, &request(), &client).await;
    cx.revoke(&client, TokenRef::Access(&pair.access)).await;
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
    let outcome = redeem(&cx, &redemption).await;
    assert_eq!(outcome, RedemptionOutcome::Invalid, "there is nothing left to revoke");
    let outcome = rotate(&cx, &strict(), &rotation(&pair)).await;
    assert_eq!(outcome, RotationOutcome::Invalid);
}

async fn ends_tokens_made_elsewhere(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let redemption = authorized_by(&cx, &user, &client, foreign_secret()).await;
    let first = issued_pair(redeem(&cx, &redemption.with_tokens(foreign_tokens())).await);
    let own = rotation(&first).with_tokens(foreign_tokens());
    let second = super::flow::rotated(rotate(&cx, &strict(), &own).await);
    let mut new = joining(&first.token);
    new.tokens = TokenPair::new(foreign_secret()).with_refresh_token(foreign_secret());
    let third = cx.pair_of(&user, new).await;
    cx.revoke(&client, TokenRef::Any(&second.access)).await;
    for pair in [&first, &second, &third] {
        assert_eq!(cx.states(&client, pair).await, [REVOKED; 2]);
    }
}

async fn revoked_grant_is_found_as_such(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (stays, _) = granted(&cx, &user, &client).await;
    for by_access_token in [true, false] {
        let (pair, _) = granted(&cx, &user, &client).await;
        match by_access_token {
            true => cx.revoke(&client, TokenRef::Access(&pair.access)).await,
            false => cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await,
        }
        let grant = cx.grant(pair.grant_id()).await.expect("a revoked grant is found");
        assert_eq!(grant.state, GrantState::Revoked);
        let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
        let listed: Vec<_> = page.grants.iter().map(|grant| grant.grant_id).collect();
        assert_eq!(listed, [stays.grant_id()], "a revoked grant is not listed");
    }
}

async fn other_grants_stay(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let request = request();
    let revoked = cx.pair(&request, &client).await;
    let same_subject = cx.pair(&request, &client).await;
    let elsewhere = cx.pair(&request, &other).await;
    let own = cx.pair(&RequestContext::default(), &client).await;
    cx.revoke(&client, TokenRef::Refresh(&revoked.refresh)).await;
    assert_eq!(cx.states(&client, &revoked).await, [REVOKED; 2]);
    assert_eq!(cx.states(&client, &same_subject).await, [ACTIVE; 2], "another grant stays");
    assert_eq!(cx.states(&other, &elsewhere).await, [ACTIVE; 2], "another client's stays");
    assert_eq!(cx.states(&client, &own).await, [ACTIVE; 2], "the client's own stays");
    cx.revoke(&client, TokenRef::Access(&same_subject.access)).await;
    assert_eq!(cx.states(&client, &own).await, [ACTIVE; 2], "the client's own stays");
}

async fn any_ends_its_grant(cx: Context) {
    let client = cx.client().await;
    let request = request();
    for by_access_token in [true, false] {
        let first = cx.pair(&request, &client).await;
        let second = cx.sibling(&request, &first).await;
        let named = if by_access_token { &first.access } else { &first.refresh };
        cx.revoke(&client, TokenRef::Any(named)).await;
        for pair in [&first, &second] {
            assert_eq!(cx.states(&client, pair).await, [REVOKED; 2]);
        }
    }
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
    assert_eq!(states, [ACTIVE; 2], "a token of another client stays, and nothing is reported");
}

async fn unknown_is_success(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    for later in [tokens(), foreign_tokens()] {
        let unknown = &later.access_token;
        cx.revoke(&client, TokenRef::Access(unknown)).await;
        cx.revoke(&client, TokenRef::Refresh(unknown)).await;
        cx.revoke(&client, TokenRef::Any(unknown)).await;
        assert_eq!(cx.get(&client, TokenRef::Any(unknown)).await, None, "nothing is stored");
        // A token that is issued later is not revoked by it.
        let token = cx.create(&request(), NewToken::new(&client, scope(), later)).await;
        assert!(token.is_active());
    }
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
        assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2], "a token is revoked forever");
    }
}

async fn expired_access_token_ends_its_grant(cx: Context) {
    let client = cx.client().await;
    let mut request = short_lived();
    request.settings.refresh_token_expires_in = Duration::from_hours(1);
    let pair = cx.pair(&request, &client).await;
    outlast().await;
    assert_eq!(cx.states(&client, &pair).await, [Some(TokenState::Expired), ACTIVE]);
    cx.revoke(&client, TokenRef::Access(&pair.access)).await;
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
}

async fn expired_refresh_token_ends_its_grant(cx: Context) {
    let client = cx.client().await;
    let mut request = short_lived();
    request.settings.access_token_expires_in = Duration::from_hours(1);
    let pair = cx.pair(&request, &client).await;
    let other = cx.sibling(&self::request(), &pair).await;
    outlast().await;
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE, Some(TokenState::Expired)]);
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    for pair in [&pair, &other] {
        assert_eq!(cx.states(&client, pair).await, [REVOKED; 2], "every token of the grant");
    }
}

async fn revoked_precedes_expired(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&short_lived(), &client).await;
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    outlast().await;
    let states = cx.states(&client, &pair).await;
    assert_eq!(states, [REVOKED; 2], "the order of states is revoked, rotated, expired, active");
}

async fn revoked_precedes_rotated(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair_of(&request(), new_token(&client)).await;
    next_pair(&cx, &strict(), &pair).await;
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE, Some(TokenState::Rotated)]);
    assert!(cx.storage.revoke_grant(pair.grant_id()).await.expect("revoke_grant"));
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
}

async fn disabled_client_may_revoke(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    cx.set_disabled(&client, true).await;
    let states = cx.states(&client, &pair).await;
    assert_eq!(states, [ACTIVE; 2], "tokens issued before stay active until they are revoked");
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
}
