//! Tokens that join a grant.

use uuid::Uuid;

use super::cases::full_context;
use super::context::{
    ACTIVE, Context, Pair, REVOKED, foreign_secret, foreign_tokens, joining, new_code, new_token,
    refused, request, scope, secret, subject, tokens, tokens_for, unique,
};
use super::flow::{granted, redeem, rotate, rotation, strict};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{GrantState, RotationOutcome};
use oauth_storage::token::{NewToken, TokenRef, TokenState};
use oauth_storage::{RedemptionOutcome, RequestContext, Secret, TokenPair};

rules!("token" {
    joins_a_grant: "contract 1, create_token: further tokens of a grant, with its context",
    joins_the_grant_of_a_code: "contract 1: the tokens of a code are of its grant, and redeeming it is a replay of nothing",
    scope_is_each_tokens_own: "contract 1, create_token: tokens that join a grant have their own scope",
    grant_of_another_client_is_refused: "contract 1, create_token: a grant of another client is unknown",
    grant_of_another_subject_is_refused: "contract 1, create_token: a grant of another subject, or of none, is unknown",
    unknown_grant_is_refused: "contract 1, create_token: an unknown grant is not begun by joining it",
    existing_grant_is_no_new_one: "contract 1: a new grant with the identifier of an existing one is a duplicate",
    token_of_another_grant_is_refused: "contract 1: a secret that names another grant is refused, and nothing is stored",
    nil_grant_is_refused: "contract 3, bad input: the nil UUID is no grant",
    into_a_revoked_grant_is_dead: "S23, RFC 6749 4.1.2: tokens that join a revoked grant are stored, and are dead",
});

/// Asserts that the call is refused so, and that neither token was stored.
async fn refuses(
    cx: &Context,
    request: &RequestContext,
    new: NewToken,
    field: &str,
    reason: InvalidReason,
    what: &str,
) {
    let (client, tokens) = (new.client_id.clone(), new.tokens.clone());
    refused(cx.storage.create_token(request, new).await, field, reason, what);
    for token in [Some(tokens.access_token), tokens.refresh_token].into_iter().flatten() {
        let found = cx.get(&client, TokenRef::Any(&token)).await;
        assert_eq!(found, None, "{what}: nothing is stored");
        assert!(!cx.is_active(&token).await, "{what}: nothing is stored");
    }
}

async fn joins_a_grant(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let first = cx.pair_of(&user, new_token(&client).with_context(full_context())).await;
    // By its own subject, and by that of the request.
    let named = cx.sibling(&RequestContext::default(), &first).await;
    let mut new = joining(&first.token);
    new.subject = None;
    let mut requested = user.clone();
    let own = requested.user.as_mut().expect("a request of a user");
    own.acr = Some("another".into());
    let by_request = cx.pair_of(&requested, new).await;
    for pair in [&named, &by_request] {
        assert_eq!(pair.grant_id(), first.grant_id());
        assert_eq!(cx.states(&client, pair).await, [ACTIVE; 2]);
        let found = cx.get(&client, TokenRef::Access(&pair.access)).await;
        assert_eq!(found.as_ref(), Some(&pair.token), "the returned record is the stored one");
        let refresh = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
        for token in [&pair.token, &refresh] {
            assert_eq!(token.subject.as_deref(), Some(subject(&user)));
            assert_eq!(token.context, full_context(), "the context is that of the grant");
        }
    }
    // The client's own grant has no subject.
    let first = cx.pair(&RequestContext::default(), &client).await;
    let second = cx.sibling(&RequestContext::default(), &first).await;
    assert_eq!((second.grant_id(), second.token.subject), (first.grant_id(), None));
}

async fn joins_the_grant_of_a_code(cx: Context) {
    let client = cx.client().await;
    let (code, stored) = cx.code(&request(), &client).await;
    let new = NewToken::for_code(&stored, tokens_for(stored.grant_id));
    let pair = cx.pair_of(&RequestContext::default(), new).await;
    let grant = cx.grant(stored.grant_id).await.expect("stored");
    assert_eq!((grant.granted_at, grant.state), (stored.issued_at, GrantState::Active));
    cx.delete_code(&client, &code).await;
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "the three steps of the nine methods");
}

async fn scope_is_each_tokens_own(cx: Context) {
    let client = cx.client().await;
    let first = cx.pair(&request(), &client).await;
    for text in ["openid", "email phone", ""] {
        let mut new = joining(&first.token);
        new.scope = text.parse().expect("a scope");
        let pair = cx.pair_of(&request(), new).await;
        for token in [TokenRef::Access(&pair.access), TokenRef::Refresh(&pair.refresh)] {
            let found = cx.get(&client, token).await.expect("stored");
            assert_eq!(found.scope.as_str(), text);
        }
    }
    let kept = cx.get(&client, TokenRef::Access(&first.access)).await;
    assert_eq!(kept.map(|token| token.scope), Some(scope()), "the first pair keeps its own");
}

async fn grant_of_another_client_is_refused(cx: Context) {
    let (owner, other) = (cx.client().await, cx.client().await);
    let user = request();
    let pair = cx.pair(&user, &owner).await;
    let before = cx.grant(pair.grant_id()).await;
    let (_, code) = cx.code(&user, &owner).await;
    for grant_id in [pair.grant_id(), code.grant_id] {
        let new = NewToken::new(&other, scope(), tokens_for(grant_id)).with_grant_id(grant_id);
        refuses(&cx, &user, new, "grant_id", InvalidReason::Unknown, "another client's grant")
            .await;
    }
    assert_eq!(cx.grant(pair.grant_id()).await, before, "the grant is not touched");
}

async fn grant_of_another_subject_is_refused(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let of_user = cx.pair(&user, &client).await;
    let of_nobody = cx.pair(&RequestContext::default(), &client).await;
    let join = |pair: &Pair| {
        NewToken::new(&client, scope(), tokens_for(pair.grant_id())).with_grant_id(pair.grant_id())
    };
    let upper = subject(&user).to_uppercase();
    for (what, request, new) in [
        ("another user's request", request(), join(&of_user)),
        ("a request without a user", RequestContext::default(), join(&of_user)),
        ("another subject", user.clone(), join(&of_user).with_subject(unique())),
        ("the subject in capitals", user.clone(), join(&of_user).with_subject(upper)),
        ("a user's request for a grant without a subject", user.clone(), join(&of_nobody)),
    ] {
        refuses(&cx, &request, new, "grant_id", InvalidReason::Unknown, what).await;
    }
    cx.sibling(&user, &of_user).await;
}

async fn unknown_grant_is_refused(cx: Context) {
    let client = cx.client().await;
    let unknown = Uuid::now_v7();
    let new = || NewToken::new(&client, scope(), tokens_for(unknown)).with_grant_id(unknown);
    for request in [request(), RequestContext::default()] {
        refuses(&cx, &request, new(), "grant_id", InvalidReason::Unknown, "an unknown grant").await;
    }
    assert_eq!(cx.grant(unknown).await, None, "no grant begins by being joined");
}

async fn existing_grant_is_no_new_one(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let user = request();
    let live = cx.pair(&user, &client).await;
    let revoked = cx.pair(&user, &client).await;
    assert!(cx.storage.revoke_grant(revoked.grant_id()).await.expect("revoke_grant"));
    let (_, code) = cx.code(&user, &client).await;
    for grant_id in [live.grant_id(), revoked.grant_id(), code.grant_id] {
        let before = cx.grant(grant_id).await;
        for client in [&client, &other] {
            let new = NewToken::new(client, scope(), tokens_for(grant_id));
            refuses(&cx, &user, new, "grant_id", InvalidReason::Duplicate, "a grant that exists")
                .await;
            let code = Secret::generate_for(grant_id).expect("randomness");
            let new = new_code(client, &code);
            let result = cx.storage.create_authorization_code(&user, new).await;
            refused(result, "code", InvalidReason::Duplicate, "a code of a grant that exists");
            assert_eq!(cx.get_code(client, &code).await, None, "nothing is stored");
        }
        assert_eq!(cx.grant(grant_id).await, before, "the grant is not touched");
    }
    assert_eq!(cx.states(&client, &live).await, [ACTIVE; 2]);
    assert_eq!(cx.states(&client, &revoked).await, [REVOKED; 2]);
}

async fn token_of_another_grant_is_refused(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let pair = cx.pair(&user, &client).await;
    let own = pair.grant_id();
    let not_allowed = InvalidReason::NotAllowed;
    for (field, wrong) in [
        ("access_token", tokens()),
        ("access_token", TokenPair::new(secret())),
        ("refresh_token", tokens_for(own).with_refresh_token(secret())),
        ("refresh_token", TokenPair::new(foreign_secret()).with_refresh_token(secret())),
    ] {
        let mut new = joining(&pair.token);
        new.tokens = wrong;
        refuses(&cx, &user, new, field, not_allowed, "tokens of another grant").await;
    }
    // Tokens of a new grant must agree on it.
    let new = NewToken::new(&client, scope(), tokens().with_refresh_token(secret()));
    refuses(&cx, &user, new, "refresh_token", not_allowed, "tokens of two grants").await;
    cx.sibling(&user, &pair).await;
}

async fn nil_grant_is_refused(cx: Context) {
    let client = cx.client().await;
    let joined = NewToken::new(&client, scope(), foreign_tokens()).with_grant_id(Uuid::nil());
    let named = NewToken::new(&client, scope(), tokens_for(Uuid::nil()));
    for new in [joined, named] {
        refuses(&cx, &request(), new, "grant_id", InvalidReason::Empty, "the nil UUID").await;
    }
}

async fn into_a_revoked_grant_is_dead(cx: Context) {
    let client = cx.client().await;
    let user = request();
    for way in 0..3 {
        let (first, redemption) = granted(&cx, &user, &client).await;
        match way {
            0 => assert!(cx.storage.revoke_grant(first.grant_id()).await.expect("revoke_grant")),
            1 => cx.revoke(&client, TokenRef::Access(&first.access)).await,
            _ => {
                let outcome = redeem(&cx, &redemption).await;
                assert!(matches!(outcome, RedemptionOutcome::Replayed { .. }), "{outcome:?}");
            }
        }
        let late = cx.sibling(&user, &first).await;
        assert_eq!(late.token.state, TokenState::Revoked, "the returned record says so");
        assert_eq!(cx.states(&client, &late).await, [REVOKED; 2], "and so do the stored ones");
        assert!(!cx.is_active(&late.access).await && !cx.is_active(&late.refresh).await);
        let outcome = rotate(&cx, &strict(), &rotation(&late)).await;
        assert_eq!(outcome, RotationOutcome::Invalid, "a dead refresh token issues nothing");
        let grant = cx.grant(first.grant_id()).await.expect("stored");
        assert_eq!(grant.state, GrantState::Revoked, "the grant stays revoked");
    }
    // The tokens of a code whose grant was revoked between the steps of the nine methods.
    let (_, code) = cx.code(&user, &client).await;
    assert_eq!(cx.storage.revoke_subject(subject(&user)).await.expect("revoke_subject"), 1);
    let new = NewToken::for_code(&code, tokens_for(code.grant_id));
    let late = cx.pair_of(&RequestContext::default(), new).await;
    assert_eq!(cx.states(&client, &late).await, [REVOKED; 2]);
}
