//! Grants that cannot be spent twice: redeemed, looked at, revoked, listed.

use std::time::Duration;

use super::context::{
    Context, REDIRECT_URI, ill_formed, new_code, outlast, refused, request, scope, secret,
    short_lived, together, unique,
};
use crate::error::Problem;
use crate::model::{
    CodeChallenge, NewAuthorizationCode, NewToken, Redeem, Redeemed, Rotate, Rotated, Token,
    TokenRef, TokenState, User,
};
use crate::request::{Request, Settings};
use crate::secret::Secret;

super::room!("grant" {
    redeems_once: "contract 2, redeem: issued, then replayed, which revokes the grant (RFC 6749 4.1.2)",
    redeems_what_was_authorized: "contract 2, redeem: subject, scope, context and grant come from the code",
    redeems_without_refresh_token: "contract 2, redeem: the refresh token is optional",
    what_does_not_fit_is_invalid: "contract 2, redeem: invalid burns nothing and revokes nothing, before and after",
    expired_code_is_invalid: "contract 2, redeem: an expired code is invalid, used or not",
    taken_tokens_spend_nothing: "contract 3, bad input: new tokens that exist or break the syntax, by field",
    one_redemption_wins: "S1, contract 3, exactly once: of 64 redemptions of one code one is issued",
    plain_methods_see_a_spent_code: "contract 1, get_authorization_code: none for one that was redeemed",
    introspects: "RFC 7662 2.2: either kind without a hint; unknown, expired, rotated, revoked: nothing",
    revokes_by_grant_subject_and_client: "contract 2, revoke: how many, and no others",
    revocation_beats_rotation: "S9, contract 2, revoke: nothing is active when it has returned",
    lists_live_grants: "contract 2, list: pages by keyset, of the subject alone, of what is active",
});

/// A code with a challenge, and what redeems it.
pub(super) async fn authorized(cx: &Context, request: &Request, client: &str) -> Redeem {
    let (code, verifier) = (secret(), secret());
    let new = NewAuthorizationCode {
        code_challenge: Some(CodeChallenge::s256(&verifier)),
        ..new_code(client, &code)
    };
    cx.storage.create_authorization_code(request, new).await.expect("create_authorization_code");
    Redeem {
        code_verifier: Some(verifier),
        refresh_token: Some(secret()),
        ..Redeem::new(client, REDIRECT_URI, code, secret())
    }
}

pub(super) async fn redeem(cx: &Context, redeem: &Redeem) -> Redeemed {
    let redeemed = cx.storage.redeem_authorization_code(&request(), redeem.clone()).await;
    redeemed.expect("redeem_authorization_code")
}

#[track_caller]
fn issued(outcome: Redeemed) -> Token {
    match outcome {
        Redeemed::Issued(token) => *token,
        other => panic!("a valid code is issued, not {other:?}"),
    }
}

/// A code that was redeemed, and its refresh token.
pub(super) async fn granted(
    cx: &Context,
    request: &Request,
    client: &str,
) -> (Token, Redeem, Secret) {
    let code = authorized(cx, request, client).await;
    let token = issued(redeem(cx, &code).await);
    let refresh = code.refresh_token.clone().expect("it has one");
    (token, code, refresh)
}

pub(super) fn grace(grace: Duration) -> Request {
    let settings = Settings { refresh_token_grace: grace, ..Settings::default() };
    Request::default().with_settings(settings)
}

pub(super) fn rotation(client: &str, refresh: &Secret) -> Rotate {
    Rotate::new(client, refresh.clone(), secret(), secret())
}

pub(super) async fn rotate(cx: &Context, request: &Request, rotate: &Rotate) -> Rotated {
    let rotated = cx.storage.rotate_refresh_token(request, rotate.clone()).await;
    rotated.expect("rotate_refresh_token")
}

#[track_caller]
pub(super) fn renewed(outcome: Rotated) -> Token {
    match outcome {
        Rotated::Issued(token) => *token,
        other => panic!("a valid refresh token is exchanged, not {other:?}"),
    }
}

pub(super) async fn active(cx: &Context, token: &Secret) -> bool {
    cx.storage.introspect(token).await.expect("introspect").is_some()
}

/// A resource owner whom no other rule has.
pub(super) fn somebody() -> Request {
    Request::for_user(User::new(unique()))
}

async fn redeems_once(cx: Context) {
    let client = cx.client().await;
    let (token, code, refresh) = granted(&cx, &request(), &client).await;
    assert!(token.is_active() && active(&cx, &code.access_token).await);
    let again = Redeem { access_token: secret(), refresh_token: None, ..code.clone() };
    for _ in 0..2 {
        let replayed = Redeemed::Replayed { grant_id: token.grant_id };
        assert_eq!(redeem(&cx, &again).await, replayed, "a second valid redemption is a replay");
    }
    for dead in [&code.access_token, &refresh, &again.access_token] {
        assert!(!active(&cx, dead).await, "after a replay no token of the grant is active");
    }
}

async fn redeems_what_was_authorized(cx: Context) {
    let client = cx.client().await;
    let (code, verifier) = (secret(), secret());
    let new = NewAuthorizationCode {
        code_challenge: Some(CodeChallenge::s256(&verifier)),
        nonce: Some("n-0S6_WzA2Mj".into()),
        ..new_code(&client, &code)
    };
    let user = somebody();
    let stored = cx.storage.create_authorization_code(&user, new).await.expect("create");
    let presented = Redeem {
        code_verifier: Some(verifier),
        refresh_token: Some(secret()),
        ..Redeem::new(&client, REDIRECT_URI, code, secret())
    };
    let token = issued(redeem(&cx, &presented).await);
    assert_eq!(token.grant_id, stored.grant_id);
    assert_eq!(token.subject.as_deref(), user.subject(), "the code's subject, not the request's");
    assert_eq!((&token.scope, &token.context), (&stored.scope, &stored.context));
    assert_eq!(token.expires_in(), 3600, "lifetimes come from the request's settings");
    let refresh = presented.refresh_token.expect("it has one");
    let found = cx.get(&client, TokenRef::Refresh(&refresh)).await.expect("it was stored, too");
    assert_eq!((found.grant_id, found.context), (stored.grant_id, stored.context));
}

async fn redeems_without_refresh_token(cx: Context) {
    let client = cx.client().await;
    let code = authorized(&cx, &request(), &client).await;
    let alone = Redeem { refresh_token: None, ..code.clone() };
    issued(redeem(&cx, &alone).await);
    assert!(active(&cx, &code.access_token).await);
    let refresh = code.refresh_token.expect("it has one");
    assert!(!active(&cx, &refresh).await, "what was not given is not stored");
}

async fn what_does_not_fit_is_invalid(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let code = authorized(&cx, &request(), &client).await;
    let mut wrong = vec![
        ("unknown code", Redeem { code: secret(), ..code.clone() }),
        ("other client", Redeem { client_id: other, ..code.clone() }),
        ("unknown client", Redeem { client_id: unique(), ..code.clone() }),
        ("other redirect URI", Redeem { redirect_uri: format!("{REDIRECT_URI}/"), ..code.clone() }),
        ("no redirect URI", Redeem { redirect_uri: String::new(), ..code.clone() }),
        ("other verifier", Redeem { code_verifier: Some(secret()), ..code.clone() }),
        ("no verifier", Redeem { code_verifier: None, ..code.clone() }),
    ];
    wrong.extend(ill_formed().into_iter().flat_map(|odd| {
        let verifier = Redeem { code_verifier: Some(odd.clone()), ..code.clone() };
        [("ill-formed code", Redeem { code: odd, ..code.clone() }), ("odd verifier", verifier)]
    }));
    let invalid = async || {
        for (what, wrong) in &wrong {
            let wrong = Redeem { access_token: secret(), refresh_token: None, ..wrong.clone() };
            assert_eq!(redeem(&cx, &wrong).await, Redeemed::Invalid, "{what}");
        }
    };
    invalid().await;
    issued(redeem(&cx, &code).await);
    invalid().await;
    assert!(active(&cx, &code.access_token).await, "what does not fit revokes nothing");

    // A code without a challenge takes no verifier (RFC 9700 4.8.2).
    let plain = secret();
    let new = new_code(&client, &plain);
    cx.storage.create_authorization_code(&request(), new).await.expect("create");
    let bare = Redeem::new(&client, REDIRECT_URI, plain, secret());
    let stripped = Redeem { code_verifier: Some(secret()), ..bare.clone() };
    assert_eq!(redeem(&cx, &stripped).await, Redeemed::Invalid, "a verifier without a challenge");
    issued(redeem(&cx, &bare).await);

    let code = authorized(&cx, &request(), &client).await;
    cx.storage.set_client_disabled(&client, true).await.expect("disable");
    assert_eq!(redeem(&cx, &code).await, Redeemed::Invalid, "a disabled client gets nothing");
}

async fn expired_code_is_invalid(cx: Context) {
    let client = cx.client().await;
    let unused = authorized(&cx, &short_lived(), &client).await;
    // Redeemed in time, if the machine is quick enough; either way it is invalid afterwards.
    let used = authorized(&cx, &short_lived(), &client).await;
    let first = redeem(&cx, &used).await;
    outlast().await;
    assert_eq!(redeem(&cx, &unused).await, Redeemed::Invalid, "an expired code");
    let again = Redeem { access_token: secret(), refresh_token: None, ..used.clone() };
    assert_eq!(redeem(&cx, &again).await, Redeemed::Invalid, "an expired code that was used");
    if matches!(first, Redeemed::Issued(_)) {
        assert!(active(&cx, &used.access_token).await, "which revokes nothing");
    }
}

async fn taken_tokens_spend_nothing(cx: Context) {
    let client = cx.client().await;
    let (_, taken, taken_refresh) = granted(&cx, &request(), &client).await;
    let code = authorized(&cx, &request(), &client).await;
    let (same, odd) = (secret(), Secret::new("a\0b"));
    for (field, problem, access, refresh) in [
        ("access_token", Problem::Duplicate, taken.access_token.clone(), secret()),
        ("refresh_token", Problem::Duplicate, secret(), taken_refresh.clone()),
        ("refresh_token", Problem::Duplicate, same.clone(), same),
        ("access_token", Problem::Character, odd.clone(), secret()),
        ("refresh_token", Problem::Character, secret(), odd),
        ("access_token", Problem::Empty, Secret::new(""), secret()),
    ] {
        let with = Redeem {
            access_token: access.clone(),
            refresh_token: Some(refresh.clone()),
            ..code.clone()
        };
        let result = cx.storage.redeem_authorization_code(&request(), with).await;
        refused(result, field, problem, "redeem");
        let with = Rotate::new(&client, taken_refresh.clone(), access, refresh);
        let result = cx.storage.rotate_refresh_token(&request(), with).await;
        refused(result, field, problem, "rotate");
    }
    issued(redeem(&cx, &code).await);
    renewed(rotate(&cx, &grace(Duration::ZERO), &rotation(&client, &taken_refresh)).await);
}

async fn one_redemption_wins(cx: Context) {
    let client = cx.client().await;
    let code = authorized(&cx, &request(), &client).await;
    let pairs: Vec<(Secret, Secret)> = (0..64).map(|_| (secret(), secret())).collect();
    let outcomes = together(64, |index| {
        let (cx, code) = (cx.clone(), code.clone());
        let (access, refresh) = pairs[index].clone();
        let code = Redeem { access_token: access, refresh_token: Some(refresh), ..code };
        async move { redeem(&cx, &code).await }
    })
    .await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Redeemed::Issued(_))).count();
    assert_eq!(won, 1, "of 64 redemptions of one code one is issued");
    for (outcome, (access, refresh)) in outcomes.iter().zip(&pairs) {
        let stored = [TokenRef::Access(access), TokenRef::Refresh(refresh)];
        let won = matches!(outcome, Redeemed::Issued(_));
        for token in stored {
            let state = cx.get(&client, token).await.map(|token| token.state);
            let expected = won.then_some(TokenState::Revoked);
            assert_eq!(state, expected, "losers write nothing; the replay revoked the winner's");
        }
    }
}

async fn plain_methods_see_a_spent_code(cx: Context) {
    let client = cx.client().await;
    let (_, code, _) = granted(&cx, &request(), &client).await;
    assert_eq!(cx.get_code(&client, &code.code).await, None, "a redeemed code is not found");
}

async fn introspects(cx: Context) {
    let client = cx.client().await;
    let (token, code, refresh) = granted(&cx, &request(), &client).await;
    let found = cx.storage.introspect(&code.access_token).await.expect("introspect");
    assert_eq!(found, Some(token), "an access token");
    assert!(active(&cx, &refresh).await, "a refresh token");
    renewed(rotate(&cx, &request(), &rotation(&client, &refresh)).await);
    let expired = secret();
    let new = NewToken::new(&client, scope(), expired.clone());
    cx.storage.create_token(&short_lived(), new).await.expect("create_token");
    outlast().await;
    let (_, revoked, _) = granted(&cx, &request(), &client).await;
    cx.revoke(&client, TokenRef::Access(&revoked.access_token)).await;
    for token in [refresh, expired, revoked.access_token, secret()].into_iter().chain(ill_formed())
    {
        assert!(!active(&cx, &token).await, "unknown, expired, rotated and revoked are alike");
    }
}

async fn revokes_by_grant_subject_and_client(cx: Context) {
    let (client, other) = (cx.client().await, cx.client().await);
    let (alice, bob) = (somebody(), somebody());
    let mut tokens = Vec::new();
    for (client, user) in
        [(&client, &alice), (&client, &alice), (&other, &alice), (&client, &bob), (&other, &bob)]
    {
        let (token, code, _) = granted(&cx, user, client).await;
        tokens.push((token.grant_id, code.access_token));
    }
    let unused = authorized(&cx, &alice, &other).await;
    let check = async |expected: [bool; 5], what: &str| {
        for ((_, access), expected) in tokens.iter().zip(expected) {
            assert_eq!(active(&cx, access).await, expected, "{what}");
        }
    };
    let storage = &cx.storage;
    assert_eq!(storage.revoke_grant(tokens[0].0).await.expect("revoke_grant"), 2);
    assert_eq!(storage.revoke_grant(tokens[0].0).await.expect("revoke_grant"), 0, "once more");
    check([false, true, true, true, true], "by grant").await;
    let subject = alice.subject().expect("it has one");
    assert_eq!(storage.revoke_subject(subject).await.expect("revoke_subject"), 4);
    check([false, false, false, true, true], "by subject").await;
    assert_eq!(redeem(&cx, &unused).await, Redeemed::Invalid, "an unused code is revoked, too");
    assert_eq!(storage.revoke_client(&client).await.expect("revoke_client"), 2);
    check([false, false, false, false, true], "by client").await;
    assert!(cx.get_client(&client, None).await.is_some(), "the client stays");
    assert_eq!(storage.revoke_grant(uuid::Uuid::now_v7()).await.expect("unknown"), 0);
    for nobody in [unique(), String::new(), "a\0b".into()] {
        assert_eq!(storage.revoke_subject(&nobody).await.expect("unknown"), 0);
        assert_eq!(storage.revoke_client(&nobody).await.expect("unknown"), 0);
    }
}

async fn revocation_beats_rotation(cx: Context) {
    for round in 0..24 {
        let client = cx.client().await;
        let user = somebody();
        let (token, _, refresh) = granted(&cx, &user, &client).await;
        let rotating = {
            let (cx, client) = (cx.clone(), client.clone());
            tokio::spawn(async move {
                let mut refresh = refresh;
                let strict = grace(Duration::ZERO);
                for _ in 0..1000 {
                    let next = rotation(&client, &refresh);
                    if !matches!(rotate(&cx, &strict, &next).await, Rotated::Issued(_)) {
                        return true;
                    }
                    refresh = next.new_refresh_token;
                    tokio::task::yield_now().await;
                }
                false
            })
        };
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
        let subject = user.subject().expect("it has one");
        match round % 3 {
            0 => cx.storage.revoke_grant(token.grant_id).await,
            1 => cx.storage.revoke_subject(subject).await,
            _ => cx.storage.revoke_client(&client).await,
        }
        .expect("revoke");
        let live = cx.storage.list_grants(subject, None, 10).await.expect("list_grants");
        assert_eq!(live, [], "nothing is active when the revocation has returned");
        let stopped = rotating.await.expect("it rotates until it is refused");
        let live = cx.storage.list_grants(subject, None, 10).await.expect("list_grants");
        assert!(stopped || round == 0 || live.is_empty(), "nor afterwards");
        assert_eq!(live, [], "nor afterwards");
    }
}

async fn lists_live_grants(cx: Context) {
    let client = cx.client().await;
    let user = somebody();
    let subject = user.subject().expect("it has one");
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(granted(&cx, &user, &client).await.0);
    }
    let (dead, _, _) = granted(&cx, &user, &client).await;
    cx.storage.revoke_grant(dead.grant_id).await.expect("revoke_grant");
    granted(&cx, &somebody(), &client).await;
    let (rotated, _, refresh) = granted(&cx, &user, &client).await;
    let narrower = Rotate {
        scope: Some(scope().iter().next().expect("a token").parse().expect("a scope")),
        ..rotation(&client, &refresh)
    };
    renewed(rotate(&cx, &request(), &narrower).await);
    expected.push(rotated);
    expected.sort_by_key(|token| token.grant_id);

    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|grant: &crate::model::Grant| grant.grant_id);
        let page = cx.storage.list_grants(subject, after, 2).await.expect("list_grants");
        let whole = page.len() == 2;
        listed.extend(page);
        if !whole {
            break;
        }
    }
    let ids = |ids: &mut dyn Iterator<Item = uuid::Uuid>| ids.collect::<Vec<_>>();
    assert_eq!(
        ids(&mut listed.iter().map(|grant| grant.grant_id)),
        ids(&mut expected.iter().map(|token| token.grant_id)),
        "each live grant of the subject, once, in order"
    );
    for (grant, token) in listed.iter().zip(&expected) {
        assert_eq!((grant.client_id.as_str(), grant.subject.as_str()), (client.as_str(), subject));
        assert_eq!((&grant.scope, grant.granted_at), (&token.scope, token.issued_at));
    }
    let rotated = listed.iter().filter(|grant| grant.last_rotated_at.is_some()).count();
    assert_eq!(rotated, 1, "the one that was rotated says when");
    for limit in [0, 1001] {
        let result = cx.storage.list_grants(subject, None, limit).await;
        refused(result, "limit", Problem::OutOfRange, "list_grants");
    }
}
