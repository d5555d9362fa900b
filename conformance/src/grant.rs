//! Redeeming authorization codes, and introspection.

use super::context::{
    ACTIVE, Context, Pair, REDIRECT_URI, foreign_secret, foreign_tokens, ill_formed, new_code,
    new_token, outlast, refused, request, secret, short_lived, subject, together, tokens,
    tokens_for, unique,
};
use super::flow::{
    authorized, authorized_by, granted, issued, issued_pair, next_pair, redeem, rotate, rotated,
    rotation, strict,
};
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::{TokenKind, TokenRef, TokenState};
use oauth_storage::{CodeRedemption, RedemptionOutcome, Secret, TokenPair};

rules!("grant" {
    redeems_once: "contract 2, redeem: issued, then replayed, which revokes the grant (RFC 6749 4.1.2)",
    redeems_what_was_authorized: "contract 2, redeem: subject, scope, context and grant come from the code",
    issued_tokens_are_the_stored_ones: "contract 2, redeem, rotate: the returned pair is the one that was stored",
    generated_tokens_name_the_grant: "contract 2, redeem, rotate: a generated pair names the grant of the credential",
    own_tokens_are_issued: "contract 2, redeem, rotate: the caller's own tokens are issued unchanged",
    redeems_without_refresh_token: "contract 2, redeem: the refresh token is optional",
    code_made_elsewhere_is_redeemed: "contract 1: a credential that names no grant works everywhere",
    mismatch_is_invalid: "contract 2, redeem: invalid spends nothing and revokes nothing, before and after",
    expired_code_is_invalid: "contract 2, redeem: an expired code is invalid, used or not",
    deleted_code_is_not_redeemed: "contract 1, delete_authorization_code: a deleted code issues nothing",
    refused_tokens_spend_nothing: "contract 3, bad input: new tokens that exist or break the syntax, by field",
    tokens_of_another_grant_are_refused: "contract 2: a secret that names another grant is refused, and nothing is spent",
    replay_is_reported_with_any_tokens: "contract 2, redeem, rotate: existing tokens do not hide a replay",
    one_redemption_wins: "S1, contract 3, exactly once: of 64 redemptions of one code one is issued",
    redeemed_code_is_not_found: "contract 1, get_authorization_code: None for a code that was redeemed",
    introspects: "RFC 7662 2.2: either kind without a hint; unknown, expired, rotated, revoked: nothing",
});

async fn redeems_once(cx: Context) {
    let client = cx.client().await;
    let (pair, redemption) = granted(&cx, &request(), &client).await;
    assert!(pair.token.is_active() && cx.is_active(&pair.access).await);
    let replayed = RedemptionOutcome::Replayed { grant_id: pair.grant_id() };
    assert_eq!(redeem(&cx, &redemption).await, replayed, "a second valid redemption is a replay");
    for dead in [&pair.access, &pair.refresh] {
        assert!(!cx.is_active(dead).await, "after a replay no token of the grant is active");
    }
    assert_eq!(
        redeem(&cx, &redemption).await,
        RedemptionOutcome::Invalid,
        "the code of a revoked grant is invalid"
    );
}

async fn redeems_what_was_authorized(cx: Context) {
    let client = cx.client().await;
    let (code, verifier) = (secret(), secret());
    let new = new_code(&client, &code)
        .with_code_challenge(CodeChallenge::s256(&verifier))
        .with_nonce("n-0S6_WzA2Mj".to_owned());
    let user = request();
    let stored = cx.storage.create_authorization_code(&user, new).await.expect("create");
    let redemption = CodeRedemption::new(&client, REDIRECT_URI, code)
        .with_code_verifier(verifier)
        .with_refresh_token(true);
    let outcome = cx.storage.redeem_authorization_code(&request(), redemption).await;
    let pair = issued_pair(outcome.expect("redeem_authorization_code"));
    let token = &pair.token;
    assert_eq!(token.grant_id, stored.grant_id);
    assert_eq!(token.subject.as_deref(), Some(subject(&user)), "not the subject of the request");
    assert_eq!((&token.scope, &token.context), (&stored.scope, &stored.context));
    assert_eq!(token.expires_in(), 3600, "lifetimes come from the request's settings");
    let refresh = cx.get(&client, TokenRef::Refresh(&pair.refresh)).await.expect("stored");
    assert_eq!((refresh.grant_id, refresh.context), (stored.grant_id, stored.context));
}

async fn issued_tokens_are_the_stored_ones(cx: Context) {
    let client = cx.client().await;
    let redemption = authorized(&cx, &request(), &client).await;
    let redeemed = issued(redeem(&cx, &redemption).await);
    let refresh = redeemed.tokens.refresh_token.clone().expect("a refresh token was requested");
    let renewed = match rotate(&cx, &strict(), &TokenRotation::new(&client, refresh)).await {
        RotationOutcome::Issued(issued) => *issued,
        other => panic!("a refresh token of an issued pair is rotated, not {other:?}"),
    };
    for issued in [&redeemed, &renewed] {
        let access = &issued.tokens.access_token;
        let stored = cx.get(&client, TokenRef::Access(access)).await;
        assert_eq!(stored.as_ref(), Some(&issued.token), "the record is the stored access token's");
        assert_eq!(issued.token.kind, TokenKind::Access);
        let body = issued.token_response();
        assert_eq!(body["access_token"], access.expose());
        let refresh = issued.tokens.refresh_token.as_ref().expect("a refresh token was requested");
        assert_eq!(body["refresh_token"], refresh.expose());
        let stored = cx.get(&client, TokenRef::Refresh(refresh)).await.expect("stored");
        assert_eq!(stored.grant_id, issued.token.grant_id);
    }
    let refresh = renewed.tokens.refresh_token.expect("a rotation gives a refresh token");
    assert!(cx.is_active(&refresh).await, "the returned refresh token works");
}

async fn generated_tokens_name_the_grant(cx: Context) {
    let client = cx.client().await;
    let (first, _) = granted(&cx, &request(), &client).await;
    let second = next_pair(&cx, &strict(), &first).await;
    for pair in [&first, &second] {
        for token in [&pair.access, &pair.refresh] {
            assert_eq!(
                token.grant_id(),
                Some(pair.grant_id()),
                "a generated token names its grant"
            );
        }
    }
    assert_eq!(first.grant_id(), second.grant_id());
}

async fn own_tokens_are_issued(cx: Context) {
    let client = cx.client().await;
    for own in [|_| foreign_tokens(), tokens_for] {
        let redemption = authorized(&cx, &request(), &client).await;
        let grant_id = redemption.code.grant_id().expect("a generated code names its grant");
        let tokens = own(grant_id);
        let redemption = redemption.with_refresh_token(false).with_tokens(tokens.clone());
        let redeemed = issued(redeem(&cx, &redemption).await);
        assert_eq!(redeemed.tokens, tokens, "the caller's tokens are issued unchanged");
        let pair = Pair::new(redeemed.token, redeemed.tokens);
        assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
        let tokens = own(grant_id);
        let rotation = rotation(&pair).with_tokens(tokens.clone());
        let next = rotated(rotate(&cx, &strict(), &rotation).await);
        assert_eq!(
            (Some(next.refresh.clone()), &next.access),
            (tokens.refresh_token, &tokens.access_token)
        );
        assert_eq!(cx.states(&client, &next).await, [ACTIVE; 2]);
        assert_eq!(next.grant_id(), grant_id);
    }
}

async fn redeems_without_refresh_token(cx: Context) {
    let client = cx.client().await;
    let redemption = authorized(&cx, &request(), &client).await.with_refresh_token(false);
    let redeemed = issued(redeem(&cx, &redemption).await);
    assert_eq!(redeemed.tokens.refresh_token, None, "none is generated unless requested");
    assert!(!redeemed.token_response().contains_key("refresh_token"));
    assert!(cx.is_active(&redeemed.tokens.access_token).await);
    let redemption = authorized(&cx, &request(), &client).await;
    let tokens = TokenPair::new(foreign_secret());
    let redeemed = issued(redeem(&cx, &redemption.with_tokens(tokens.clone())).await);
    assert_eq!(redeemed.tokens, tokens, "own tokens go without one as well");
}

async fn code_made_elsewhere_is_redeemed(cx: Context) {
    let client = cx.client().await;
    let redemption = authorized_by(&cx, &request(), &client, foreign_secret()).await;
    let first = issued_pair(redeem(&cx, &redemption).await);
    let second = next_pair(&cx, &strict(), &first).await;
    assert_eq!(second.grant_id(), first.grant_id());
    assert!(cx.is_active(&second.access).await && cx.is_active(&second.refresh).await);
    let replayed = RedemptionOutcome::Replayed { grant_id: first.grant_id() };
    assert_eq!(redeem(&cx, &redemption).await, replayed);
    assert!(!cx.is_active(&second.access).await && !cx.is_active(&second.refresh).await);
}

async fn mismatch_is_invalid(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let good = authorized(&cx, &request(), &client).await;
    let with = |change: &dyn Fn(&mut CodeRedemption)| {
        let mut redemption = good.clone();
        change(&mut redemption);
        redemption
    };
    let mut wrong = vec![
        ("unknown code", with(&|r| r.code = secret())),
        ("unknown code made elsewhere", with(&|r| r.code = foreign_secret())),
        ("other client", with(&|r| r.client_id.clone_from(&other))),
        ("unknown client", with(&|r| r.client_id = unique())),
        ("other redirect URI", with(&|r| r.redirect_uri.push('/'))),
        ("no redirect URI", with(&|r| r.redirect_uri.clear())),
        ("other verifier", with(&|r| r.code_verifier = Some(secret()))),
        ("no verifier", with(&|r| r.code_verifier = None)),
    ];
    for odd in ill_formed() {
        wrong.push(("ill-formed verifier", with(&|r| r.code_verifier = Some(odd.clone()))));
        wrong.push(("ill-formed code", with(&|r| r.code = odd.clone())));
    }
    let check = async || {
        for (what, wrong) in &wrong {
            assert_eq!(redeem(&cx, wrong).await, RedemptionOutcome::Invalid, "{what}");
        }
    };
    check().await;
    let pair = issued_pair(redeem(&cx, &good).await);
    check().await;
    assert!(cx.is_active(&pair.access).await, "an invalid redemption revokes nothing");

    // A code without a challenge takes no verifier (RFC 9700 4.8.2).
    let plain = secret();
    let new = new_code(&client, &plain);
    cx.storage.create_authorization_code(&request(), new).await.expect("create");
    let bare = CodeRedemption::new(&client, REDIRECT_URI, plain);
    let stripped = bare.clone().with_code_verifier(secret());
    let outcome = redeem(&cx, &stripped).await;
    assert_eq!(outcome, RedemptionOutcome::Invalid, "a verifier without a challenge");
    issued(redeem(&cx, &bare).await);
}

async fn expired_code_is_invalid(cx: Context) {
    let client = cx.client().await;
    let unused = authorized(&cx, &short_lived(), &client).await;
    // Redeemed in time unless the machine is busy. It is invalid afterwards in either case.
    let used = authorized(&cx, &short_lived(), &client).await;
    let first = redeem(&cx, &used).await;
    outlast().await;
    assert_eq!(redeem(&cx, &unused).await, RedemptionOutcome::Invalid, "an expired code");
    assert_eq!(redeem(&cx, &used).await, RedemptionOutcome::Invalid, "an expired used code");
    if let RedemptionOutcome::Issued(issued) = first {
        assert!(cx.is_active(&issued.tokens.access_token).await, "nothing is revoked");
    }
}

async fn deleted_code_is_not_redeemed(cx: Context) {
    let client = cx.client().await;
    let redemption = authorized(&cx, &request(), &client).await;
    cx.delete_code(&client, &redemption.code).await;
    let outcome = redeem(&cx, &redemption).await;
    assert!(!matches!(outcome, RedemptionOutcome::Issued(_)), "a deleted code: {outcome:?}");
}

async fn refused_tokens_spend_nothing(cx: Context) {
    let client = cx.client().await;
    let taken = foreign_tokens();
    let redemption = authorized(&cx, &request(), &client).await.with_tokens(taken.clone());
    let taken = Pair::new(issued(redeem(&cx, &redemption).await).token, taken);
    let good = authorized(&cx, &request(), &client).await;
    let (same, odd) = (foreign_secret(), Secret::new("a\0b"));
    for (field, reason, access, refresh) in [
        ("access_token", InvalidReason::Duplicate, taken.access.clone(), foreign_secret()),
        ("access_token", InvalidReason::Duplicate, taken.refresh.clone(), foreign_secret()),
        ("refresh_token", InvalidReason::Duplicate, foreign_secret(), taken.refresh.clone()),
        ("refresh_token", InvalidReason::Duplicate, foreign_secret(), taken.access.clone()),
        ("refresh_token", InvalidReason::Duplicate, same.clone(), same),
        ("access_token", InvalidReason::Character, odd.clone(), foreign_secret()),
        ("refresh_token", InvalidReason::Character, foreign_secret(), odd),
        ("access_token", InvalidReason::Empty, Secret::new(""), foreign_secret()),
    ] {
        let tokens = TokenPair::new(access).with_refresh_token(refresh);
        let redemption = good.clone().with_tokens(tokens.clone());
        let result = cx.storage.redeem_authorization_code(&request(), redemption).await;
        refused(result, field, reason, "redeem_authorization_code");
        let rotation = rotation(&taken).with_tokens(tokens);
        let result = cx.storage.rotate_refresh_token(&strict(), rotation).await;
        refused(result, field, reason, "rotate_refresh_token");
    }
    issued(redeem(&cx, &good).await);
    next_pair(&cx, &strict(), &taken).await;
}

async fn tokens_of_another_grant_are_refused(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let good = authorized(&cx, &request(), &client).await;
    let own = good.code.grant_id().expect("a generated code names its grant");
    for (field, wrong) in [
        ("access_token", tokens()),
        ("access_token", tokens_for(pair.grant_id())),
        ("access_token", TokenPair::new(secret())),
        ("refresh_token", TokenPair::new(foreign_secret()).with_refresh_token(secret())),
        ("refresh_token", tokens_for(own).with_refresh_token(secret())),
    ] {
        let redemption = good.clone().with_tokens(wrong.clone());
        let result = cx.storage.redeem_authorization_code(&request(), redemption).await;
        refused(result, field, InvalidReason::NotAllowed, "redeem_authorization_code");
        assert_eq!(cx.get(&client, TokenRef::Any(&wrong.access_token)).await, None);
    }
    for (field, wrong) in [
        ("access_token", tokens()),
        ("access_token", tokens_for(own)),
        ("refresh_token", TokenPair::new(foreign_secret()).with_refresh_token(secret())),
        ("refresh_token", tokens_for(pair.grant_id()).with_refresh_token(secret())),
    ] {
        let rotation = rotation(&pair).with_tokens(wrong.clone());
        let result = cx.storage.rotate_refresh_token(&strict(), rotation).await;
        refused(result, field, InvalidReason::NotAllowed, "rotate_refresh_token");
        assert_eq!(cx.get(&client, TokenRef::Any(&wrong.access_token)).await, None);
    }
    issued(redeem(&cx, &good).await);
    next_pair(&cx, &strict(), &pair).await;
}

async fn replay_is_reported_with_any_tokens(cx: Context) {
    let client = cx.client().await;
    // A caller that makes its own tokens retries with the same ones.
    let tokens = foreign_tokens();
    let redemption = authorized(&cx, &request(), &client).await.with_tokens(tokens);
    let pair = issued_pair(redeem(&cx, &redemption).await);
    let replayed = RedemptionOutcome::Replayed { grant_id: pair.grant_id() };
    assert_eq!(redeem(&cx, &redemption).await, replayed, "a retry with the same tokens");

    let (pair, _) = granted(&cx, &request(), &client).await;
    let rotation = rotation(&pair).with_tokens(foreign_tokens());
    rotated(rotate(&cx, &strict(), &rotation).await);
    let reused = RotationOutcome::Reused { grant_id: pair.grant_id() };
    assert_eq!(rotate(&cx, &strict(), &rotation).await, reused, "a retry with the same tokens");
}

async fn one_redemption_wins(cx: Context) {
    let client = cx.client().await;
    let redemption = authorized(&cx, &request(), &client).await;
    let grant_id = redemption.code.grant_id().expect("a generated code names its grant");
    let pairs: Vec<TokenPair> = (0..64).map(|_| tokens_for(grant_id)).collect();
    let outcomes = together(64, |index| {
        let (cx, redemption) = (cx.clone(), redemption.clone().with_tokens(pairs[index].clone()));
        async move { redeem(&cx, &redemption).await }
    })
    .await;
    let is_issued = |outcome: &&RedemptionOutcome| matches!(outcome, RedemptionOutcome::Issued(_));
    let won = outcomes.iter().filter(is_issued).count();
    assert_eq!(won, 1, "of 64 redemptions of one code one is issued");
    let replayed = RedemptionOutcome::Replayed { grant_id };
    assert!(outcomes.contains(&replayed), "a replay is reported");
    for (outcome, tokens) in outcomes.iter().zip(&pairs) {
        let won = is_issued(&outcome);
        assert!(won || *outcome == replayed || *outcome == RedemptionOutcome::Invalid);
        let refresh = tokens.refresh_token.as_ref().expect("a generated pair has one");
        for token in [TokenRef::Access(&tokens.access_token), TokenRef::Refresh(refresh)] {
            let state = cx.get(&client, token).await.map(|token| token.state);
            let expected = won.then_some(TokenState::Revoked);
            assert_eq!(state, expected, "losers store nothing; a replay revoked the winner's");
        }
    }
}

async fn redeemed_code_is_not_found(cx: Context) {
    let client = cx.client().await;
    let (_, redemption) = granted(&cx, &request(), &client).await;
    assert_eq!(cx.get_code(&client, &redemption.code).await, None, "a redeemed code is not found");
}

async fn introspects(cx: Context) {
    let client = cx.client().await;
    let (pair, redemption) = granted(&cx, &request(), &client).await;
    let found = cx.introspect(&pair.access).await;
    assert_eq!(found.as_ref(), Some(&pair.token), "an access token");
    let found = cx.introspect(&pair.refresh).await.expect("a refresh token");
    assert_eq!((found.kind, found.grant_id), (TokenKind::Refresh, pair.grant_id()));
    next_pair(&cx, &request(), &pair).await;
    let expired = cx.pair_of(&short_lived(), new_token(&client)).await;
    outlast().await;
    let (revoked, _) = granted(&cx, &request(), &client).await;
    cx.revoke(&client, TokenRef::Access(&revoked.access)).await;
    let unused = authorized(&cx, &request(), &client).await.code;
    let nothing = [
        ("a rotated token", pair.refresh),
        ("an expired access token", expired.access),
        ("an expired refresh token", expired.refresh),
        ("a revoked access token", revoked.access),
        ("the refresh token of a revoked grant", revoked.refresh),
        ("an unknown token", secret()),
        ("a used code", redemption.code),
        ("an unused code", unused),
    ];
    for (what, token) in nothing {
        assert_eq!(cx.introspect(&token).await, None, "{what}");
    }
    for token in ill_formed() {
        assert_eq!(cx.introspect(&token).await, None, "an ill-formed token");
    }
}
