//! Reading grants: one by its identifier, and those of a subject in pages.

use chrono::TimeDelta;
use uuid::Uuid;

use super::cases::{full_context, full_user};
use super::context::{
    Context, new_code, new_token, outlast, refused, request, secret, short_lived,
    strange_client_ids, subject, unique,
};
use super::flow::{authorized, granted, next_pair, strict};
use oauth_storage::RequestContext;
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{Grant, GrantPage, GrantState};
use oauth_storage::token::NewToken;

rules!("grant" {
    record_comes_back: "contract 2, get_grant: every field comes back equal",
    state_is_that_of_the_grant: "contract 2, get_grant: in any state: active, expired or revoked",
    unknown_grant_is_none: "contract 2, get_grant: None for an unknown grant",
    grant_keeps_what_was_granted: "contract 2: rotations and further tokens change no field but expires_at",
    lists_live_grants: "contract 2, list: the live grants of the subject, and no others",
    lists_newest_first: "contract 2, list: the newest first",
    lists_an_unused_code: "contract 2, list: a grant with an unredeemed code is live until the code expires",
    never_lists_the_dead: "contract 2, list: no revoked, expired or erased grant",
    pages_are_complete: "contract 2, list: pages by keyset hold each live grant once, up to `next` of None",
    pages_pass_dead_grants: "contract 2, list: dead grants between live ones hide none",
    pages_are_stable: "contract 2, list: grants that begin or end between two pages move none of the others",
    page_after_any_identifier: "contract 3, bad input: a page after an unknown identifier is no error",
    page_size_is_bounded: "contract 3, bad input: a page of 1 to 1000 grants",
    strange_subjects_have_no_grants: "contract 3, bad input: a subject that cannot be one has no grants",
});

async fn page(cx: &Context, subject: &str, after: Option<Uuid>, limit: usize) -> GrantPage {
    let page = cx.storage.list_grants(subject, after, limit).await.expect("list_grants");
    assert!(page.grants.len() <= limit, "a page is no longer than its limit");
    page
}

/// Every page after one, to the last.
async fn pages(cx: &Context, subject: &str, mut after: Option<Uuid>, limit: usize) -> Vec<Grant> {
    let mut grants = Vec::new();
    for _ in 0..1000 {
        let page = page(cx, subject, after, limit).await;
        grants.extend(page.grants);
        after = page.next;
        if after.is_none() {
            return grants;
        }
    }
    panic!("the pages never end");
}

fn ids(grants: &[Grant]) -> Vec<Uuid> {
    grants.iter().map(|grant| grant.grant_id).collect()
}

async fn record_comes_back(cx: Context) {
    let client = cx.client().await;
    let user = full_user();
    let request = RequestContext::for_user(user.clone());
    let mut new = new_token(&client);
    new.context = full_context();
    let pair = cx.pair_of(&request, new).await;
    let code = secret();
    let new = new_code(&client, &code).with_context(full_context());
    let code = cx.storage.create_authorization_code(&request, new).await.expect("a code");
    for (grant_id, at) in [(pair.grant_id(), pair.token.issued_at), (code.grant_id, code.issued_at)]
    {
        let grant = cx.grant(grant_id).await.expect("stored");
        assert_eq!(grant.grant_id, grant_id);
        assert_eq!(grant.client_id, client);
        assert_eq!(grant.subject.as_ref(), Some(&user.subject));
        assert_eq!(grant.scope, super::context::scope());
        assert_eq!(grant.granted_at, at, "it begins with its first credential");
        assert_eq!(grant.context, full_context());
        assert_eq!(grant.state, GrantState::Active);
        let listed = page(&cx, &user.subject, None, 10).await.grants;
        assert!(listed.contains(&grant), "the list has the same record: {listed:?}");
    }
    let bare = NewToken::new(&client, Default::default(), super::context::tokens());
    let token = cx.create(&RequestContext::default(), bare).await;
    let grant = cx.grant(token.grant_id).await.expect("stored");
    assert_eq!((grant.subject, grant.scope.is_empty()), (None, true), "none was given");
    assert_eq!(grant.context, Default::default(), "none was given");
}

async fn state_is_that_of_the_grant(cx: Context) {
    let client = cx.client().await;
    let state = async |id| cx.grant(id).await.expect("stored").state;
    let (_, code) = cx.code(&request(), &client).await;
    assert_eq!(state(code.grant_id).await, GrantState::Active, "a code that was not redeemed");
    let (pair, _) = granted(&cx, &request(), &client).await;
    assert_eq!(state(pair.grant_id()).await, GrantState::Active);
    let short = short_lived();
    let expired = cx.pair(&short, &client).await;
    let (_, expired_code) = cx.code(&short, &client).await;
    let both = cx.pair(&short, &client).await;
    assert!(cx.storage.revoke_grant(both.grant_id()).await.expect("revoke_grant"));
    outlast().await;
    assert_eq!(state(expired.grant_id()).await, GrantState::Expired);
    assert_eq!(state(expired_code.grant_id).await, GrantState::Expired);
    assert_eq!(
        state(both.grant_id()).await,
        GrantState::Revoked,
        "revoked takes precedence over expired"
    );
    assert!(cx.storage.revoke_grant(pair.grant_id()).await.expect("revoke_grant"));
    assert_eq!(state(pair.grant_id()).await, GrantState::Revoked);
}

async fn unknown_grant_is_none(cx: Context) {
    for unknown in [Uuid::now_v7(), Uuid::nil(), Uuid::max()] {
        assert_eq!(cx.grant(unknown).await, None);
    }
}

async fn grant_keeps_what_was_granted(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, _) = granted(&cx, &user, &client).await;
    let before = cx.grant(pair.grant_id()).await.expect("stored");
    let next = next_pair(&cx, &strict(), &pair).await;
    let mut new = super::context::joining(&next.token);
    new.scope = "email".parse().expect("a scope");
    new.context = full_context();
    cx.pair_of(&user, new).await;
    let after = cx.grant(pair.grant_id()).await.expect("stored");
    assert!(after.expires_at >= before.expires_at);
    assert_eq!(after, Grant { expires_at: after.expires_at, ..before });
}

async fn lists_live_grants(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let user = request();
    let (first, _) = granted(&cx, &user, &client).await;
    let (second, _) = granted(&cx, &user, &other).await;
    granted(&cx, &request(), &client).await;
    cx.pair(&RequestContext::default(), &client).await;
    next_pair(&cx, &strict(), &first).await;
    cx.sibling(&user, &first).await;
    let listed = page(&cx, subject(&user), None, 10).await;
    assert_eq!(listed.next, None, "the only page is the last");
    let expected = [second.grant_id(), first.grant_id()];
    assert_eq!(ids(&listed.grants), expected, "each live grant once, however many tokens");
    for grant in &listed.grants {
        assert_eq!(grant.subject.as_deref(), Some(subject(&user)));
        assert_eq!(grant.state, GrantState::Active);
        assert_eq!(cx.grant(grant.grant_id).await.as_ref(), Some(grant));
    }
}

async fn lists_newest_first(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let mut expected = Vec::new();
    for index in 0..12 {
        expected.push(match index % 3 {
            0 => cx.pair(&user, &client).await.grant_id(),
            1 => granted(&cx, &user, &client).await.0.grant_id(),
            _ => cx.code(&user, &client).await.1.grant_id,
        });
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    expected.reverse();
    let listed = pages(&cx, subject(&user), None, 100).await;
    assert_eq!(ids(&listed), expected, "the newest first");
    let times = listed.windows(2).map(|pair| pair[0].granted_at - pair[1].granted_at);
    assert!(times.into_iter().all(|later| later >= TimeDelta::zero()));
}

async fn lists_an_unused_code(cx: Context) {
    let client = cx.client().await;
    let mut user = short_lived();
    let (_, code) = cx.code(&user, &client).await;
    user.settings = Default::default();
    let redemption = authorized(&cx, &user, &client).await;
    let listed = ids(&page(&cx, subject(&user), None, 10).await.grants);
    let live = redemption.code.grant_id().expect("a generated code names its grant");
    assert!(listed.contains(&live), "a grant with an unredeemed code is live");
    outlast().await;
    let listed = ids(&page(&cx, subject(&user), None, 10).await.grants);
    assert_eq!(listed, [live], "and {} ended with its code", code.grant_id);
}

async fn never_lists_the_dead(cx: Context) {
    let client = cx.client().await;
    let mut user = short_lived();
    cx.pair(&user, &client).await;
    user.settings = Default::default();
    let (live, _) = granted(&cx, &user, &client).await;
    let (by_grant, _) = granted(&cx, &user, &client).await;
    assert!(cx.storage.revoke_grant(by_grant.grant_id()).await.expect("revoke_grant"));
    let (by_token, _) = granted(&cx, &user, &client).await;
    cx.revoke(&client, oauth_storage::token::TokenRef::Access(&by_token.access)).await;
    let (replayed, redemption) = granted(&cx, &user, &client).await;
    let outcome = super::flow::redeem(&cx, &redemption).await;
    let grant_id = replayed.grant_id();
    assert_eq!(outcome, oauth_storage::RedemptionOutcome::Replayed { grant_id });
    outlast().await;
    let listed = pages(&cx, subject(&user), None, 10).await;
    assert_eq!(ids(&listed), [live.grant_id()]);
    let gone = cx.client().await;
    granted(&cx, &user, &gone).await;
    assert!(cx.storage.delete_client(&gone).await.expect("delete_client"));
    let listed = pages(&cx, subject(&user), None, 10).await;
    assert_eq!(ids(&listed), [live.grant_id()], "no grant of a deleted client");
}

async fn pages_are_complete(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(granted(&cx, &user, &client).await.0.grant_id());
    }
    expected.reverse();
    for limit in [1, 2, 3, 6, 7, 8, 1000] {
        let listed = pages(&cx, subject(&user), None, limit).await;
        assert_eq!(ids(&listed), expected, "in pages of {limit}");
    }
    let nobody = page(&cx, &unique(), None, 10).await;
    assert_eq!((nobody.grants.len(), nobody.next), (0, None));
}

async fn pages_pass_dead_grants(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let mut expected = Vec::new();
    for index in 0..40 {
        let pair = cx.pair(&user, &client).await;
        if index % 13 == 7 {
            expected.push(pair.grant_id());
        } else {
            assert!(cx.storage.revoke_grant(pair.grant_id()).await.expect("revoke_grant"));
        }
    }
    expected.reverse();
    for limit in [1, 2, 100] {
        let listed = pages(&cx, subject(&user), None, limit).await;
        assert_eq!(ids(&listed), expected, "in pages of {limit}");
    }
}

async fn pages_are_stable(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let mut expected = Vec::new();
    for _ in 0..6 {
        expected.push(cx.pair(&user, &client).await.grant_id());
    }
    expected.reverse();
    let first = page(&cx, subject(&user), None, 2).await;
    assert_eq!(ids(&first.grants), expected[..2]);
    cx.pair(&user, &client).await;
    for dead in [expected[1], expected[3]] {
        assert!(cx.storage.revoke_grant(dead).await.expect("revoke_grant"));
    }
    let rest = pages(&cx, subject(&user), first.next, 2).await;
    assert_eq!(ids(&rest), [expected[2], expected[4], expected[5]]);
}

async fn page_after_any_identifier(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (own, _) = granted(&cx, &user, &client).await;
    let (foreign, _) = granted(&cx, &request(), &client).await;
    for after in [Uuid::nil(), Uuid::now_v7(), Uuid::max(), foreign.grant_id()] {
        for grant in pages(&cx, subject(&user), Some(after), 1).await {
            assert_eq!(grant.grant_id, own.grant_id(), "after {after}");
        }
    }
}

async fn page_size_is_bounded(cx: Context) {
    for limit in [0, 1001, usize::MAX] {
        let result = cx.storage.list_grants(&unique(), None, limit).await;
        refused(result, "limit", InvalidReason::OutOfRange, "list_grants");
    }
    page(&cx, &unique(), None, 1).await;
    page(&cx, &unique(), None, 1000).await;
}

async fn strange_subjects_have_no_grants(cx: Context) {
    let client = cx.client().await;
    cx.pair(&RequestContext::default(), &client).await;
    for strange in strange_client_ids() {
        let listed = page(&cx, &strange, None, 10).await;
        assert_eq!((listed.grants.len(), listed.next), (0, None), "{strange:.20?}");
    }
}
