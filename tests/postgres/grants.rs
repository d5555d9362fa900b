//! The safe operations, one request at a time. The races are in `races`.

mod list;
mod purge;
mod revoke;

use std::time::Duration;

use chrono::SubsecRound as _;
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{GrantContext, IssuedTokens, RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef, TokenState};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, CodeRedemption, Error, GrantStorage,
    GrantStorageExt as _, NewAuthorizationCode, RedemptionOutcome, RequestContext, Secret,
    Settings, TokenPair, TokenStorage as _, User,
};
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestStorage, URI, alice, digest, scope, secret};

/// A code with PKCE, and what redeems it.
async fn code(test: &TestStorage, client_id: &str, request: &RequestContext) -> CodeRedemption {
    let (code, verifier) = (Secret::generate().unwrap(), secret());
    let new = NewAuthorizationCode::new(client_id, scope(), URI, code.clone())
        .with_code_challenge(CodeChallenge::s256(&verifier));
    test.storage.create_authorization_code(request, new).await.unwrap();
    CodeRedemption::new(client_id, URI, code).with_code_verifier(verifier).with_refresh_token(true)
}

async fn redeem(storage: &impl GrantStorage, redemption: &CodeRedemption) -> RedemptionOutcome {
    let request = RequestContext::default();
    storage.redeem_authorization_code(&request, redemption.clone()).await.unwrap()
}

async fn issue(storage: &impl GrantStorage, redemption: &CodeRedemption) -> IssuedTokens {
    match redeem(storage, redemption).await {
        RedemptionOutcome::Issued(issued) => *issued,
        other => panic!("{other:?}"),
    }
}

fn refresh_of(issued: &IssuedTokens) -> &Secret {
    issued.tokens.refresh_token.as_ref().unwrap()
}

async fn rotate(
    storage: &impl GrantStorage,
    request: &RequestContext,
    rotation: &TokenRotation,
) -> RotationOutcome {
    storage.rotate_refresh_token(request, rotation.clone()).await.unwrap()
}

async fn next(
    storage: &impl GrantStorage,
    request: &RequestContext,
    client_id: &str,
    refresh: &Secret,
) -> IssuedTokens {
    match rotate(storage, request, &TokenRotation::new(client_id, refresh.clone())).await {
        RotationOutcome::Issued(issued) => *issued,
        other => panic!("{other:?}"),
    }
}

fn grace(grace: Duration) -> RequestContext {
    let settings = Settings::default().with_refresh_token_grace(grace);
    RequestContext::default().with_settings(settings)
}

/// Refresh tokens, those of them that were rotated, and tokens whose grant is not revoked.
async fn rows(test: &TestStorage) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE kind = 'r'), count(rotated_at),
                count(*) FILTER (WHERE revoked_at IS NULL)
         FROM oauth_storage.token JOIN oauth_storage.authorization_grant USING (grant_id)",
    )
    .fetch_one(test.storage.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn s2_a_second_valid_redemption_revokes_the_grant_and_that_survives() {
    let test = TestStorage::new("s2").await;
    let (client_id, _) = test.client().await;
    let first = code(&test, &client_id, &alice()).await;
    let issued = issue(&test.storage, &first).await;
    let other = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;

    // The refresh token moved on in between.
    let strict = grace(Duration::ZERO);
    let moved = next(&test.storage, &strict, &client_id, refresh_of(&issued)).await;

    let grant_id = issued.token.grant_id;
    assert_eq!(redeem(&test.storage, &first).await, RedemptionOutcome::Replayed { grant_id });
    // The grant is revoked, so there is nothing left that the code could prove.
    assert_eq!(redeem(&test.storage, &first).await, RedemptionOutcome::Invalid);
    for pair in [&issued.tokens, &moved.tokens] {
        for dead in [&pair.access_token, pair.refresh_token.as_ref().unwrap()] {
            assert_eq!(test.storage.introspect(dead).await.unwrap(), None);
        }
    }
    let token_ref = TokenRef::Any(&issued.tokens.access_token);
    let found = test.storage.get_token(&alice(), &client_id, token_ref).await.unwrap();
    assert_eq!(found.unwrap().state, TokenState::Revoked);
    let live = test.storage.list_all_grants("alice").await.unwrap();
    assert_eq!(live.iter().map(|grant| grant.grant_id).collect::<Vec<_>>(), [other.token.grant_id]);
}

#[tokio::test]
async fn s3_s4_what_does_not_fit_spends_nothing_and_revokes_nothing() {
    let test = TestStorage::new("s3").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let good = code(&test, &client_id, &alice()).await;
    let wrong = |what: &str| {
        let mut wrong = good.clone().with_refresh_token(false);
        match what {
            "code" => wrong.code = Secret::generate().unwrap(),
            "no code" => wrong.code = Secret::new(""),
            "client" => wrong.client_id = other_id.clone(),
            "no client" => wrong.client_id = "a\0b".into(),
            "redirect URI" => wrong.redirect_uri = format!("{URI}/"),
            "verifier" => wrong.code_verifier = Some(secret()),
            "short verifier" => wrong.code_verifier = Some("x".into()),
            "no verifier" => wrong.code_verifier = None,
            _ => unreachable!(),
        }
        wrong
    };
    let try_all = async || {
        for what in [
            "code",
            "no code",
            "client",
            "no client",
            "redirect URI",
            "verifier",
            "short verifier",
            "no verifier",
        ] {
            let outcome = redeem(&test.storage, &wrong(what)).await;
            assert_eq!(outcome, RedemptionOutcome::Invalid, "wrong {what}");
        }
    };
    try_all().await;
    let issued = issue(&test.storage, &good).await;
    assert_eq!(issued.token.subject.as_deref(), Some("alice"));
    // Nor afterwards: a replay that does not fit is no proof that the code leaked.
    try_all().await;
    assert!(test.storage.introspect(&issued.tokens.access_token).await.unwrap().is_some());

    // A verifier for a code without a challenge does not fit either (RFC 9700 4.8.2).
    let plain = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, plain.clone());
    test.storage.create_authorization_code(&alice(), new).await.unwrap();
    let plain = CodeRedemption::new(&client_id, URI, plain);
    let with = plain.clone().with_code_verifier(secret());
    assert_eq!(redeem(&test.storage, &with).await, RedemptionOutcome::Invalid);
    issue(&test.storage, &plain).await;
}

#[tokio::test]
async fn s4_expiry_and_the_client_are_checked_by_the_act_itself() {
    let test = TestStorage::new("s4").await;
    let (client_id, _) = test.client().await;
    let is_live = async |token: &Secret| test.storage.introspect(token).await.unwrap().is_some();
    let expired = code(&test, &client_id, &alice()).await;
    let spent = code(&test, &client_id, &alice()).await;
    let issued = issue(&test.storage, &spent).await;
    test.sql("UPDATE oauth_storage.authorization_code SET expires_at = now()").await;
    assert_eq!(redeem(&test.storage, &expired).await, RedemptionOutcome::Invalid);
    let late = redeem(&test.storage, &spent).await;
    assert_eq!(late, RedemptionOutcome::Invalid, "no replay after the end");
    assert!(is_live(&issued.tokens.access_token).await);

    // An expired refresh token is invalid, used before or not.
    let strict = grace(Duration::ZERO);
    let second = next(&test.storage, &strict, &client_id, refresh_of(&issued)).await;
    test.sql("UPDATE oauth_storage.token SET expires_at = now() WHERE kind = 'r'").await;
    for refresh in [refresh_of(&issued), refresh_of(&second)] {
        let late = TokenRotation::new(&client_id, refresh.clone());
        assert_eq!(rotate(&test.storage, &strict, &late).await, RotationOutcome::Invalid);
    }
    assert!(is_live(&issued.tokens.access_token).await);
    test.sql(
        "UPDATE oauth_storage.token SET expires_at = now() + interval '1 hour', rotated_at = NULL",
    )
    .await;

    let disabled = code(&test, &client_id, &alice()).await;
    test.storage.set_client_disabled(&client_id, true).await.unwrap();
    assert_eq!(redeem(&test.storage, &disabled).await, RedemptionOutcome::Invalid);
    let rotation = TokenRotation::new(&client_id, refresh_of(&issued).clone());
    let rotated = rotate(&test.storage, &RequestContext::default(), &rotation).await;
    assert_eq!(rotated, RotationOutcome::Invalid);
    test.storage.set_client_disabled(&client_id, false).await.unwrap();
    issue(&test.storage, &disabled).await;
}

#[tokio::test]
async fn a_duplicate_among_the_new_tokens_spends_nothing() {
    let test = TestStorage::new("redeem_duplicate").await;
    let (client_id, _) = test.client().await;
    // Tokens that were made elsewhere: generated ones name their grant and never collide.
    let taken = TokenPair::new(secret()).with_refresh_token(secret());
    let new = NewToken::new(&client_id, scope(), taken.clone());
    test.storage.create_token(&alice(), new).await.unwrap();
    let refresh = taken.refresh_token.clone().unwrap();
    let fresh = code(&test, &client_id, &alice()).await;
    for (field, tokens) in [
        ("access_token", TokenPair::new(taken.access_token).with_refresh_token(secret())),
        ("refresh_token", TokenPair::new(secret()).with_refresh_token(refresh.clone())),
    ] {
        let redemption = fresh.clone().with_tokens(tokens);
        match test.storage.redeem_authorization_code(&RequestContext::default(), redemption).await {
            Err(Error::Invalid { field: f, reason: InvalidReason::Duplicate }) => {
                assert_eq!(f, field)
            }
            other => panic!("{other:?}"),
        }
    }
    let tokens = TokenPair::new(secret()).with_refresh_token(refresh.clone());
    let rotation = TokenRotation::new(&client_id, refresh).with_tokens(tokens);
    let error = test.storage.rotate_refresh_token(&RequestContext::default(), rotation).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Invalid { field: "refresh_token", .. }), "{error}");
    assert_eq!(rows(&test).await, (1, 0, 2));
    issue(&test.storage, &fresh).await;
}

#[tokio::test]
async fn s6_reuse_of_a_rotated_refresh_token_revokes_the_grant() {
    let test = TestStorage::new("s6").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let strict = grace(Duration::ZERO);
    let refresh = refresh_of(&issued);
    let moved = next(&test.storage, &strict, &client_id, refresh).await;
    // Of another client, or as an access token, it proves nothing.
    let (other_id, _) = test.client().await;
    for (client_id, token) in [(&other_id, refresh), (&client_id, &issued.tokens.access_token)] {
        let foreign = TokenRotation::new(client_id, token.clone());
        assert_eq!(rotate(&test.storage, &strict, &foreign).await, RotationOutcome::Invalid);
    }
    assert!(test.storage.introspect(&moved.tokens.access_token).await.unwrap().is_some());

    let again = TokenRotation::new(&client_id, refresh.clone());
    let reused = RotationOutcome::Reused { grant_id: issued.token.grant_id };
    assert_eq!(rotate(&test.storage, &strict, &again).await, reused);
    assert_eq!(test.storage.introspect(&moved.tokens.access_token).await.unwrap(), None);
    for refresh in [refresh_of(&moved), refresh] {
        let after = TokenRotation::new(&client_id, refresh.clone());
        assert_eq!(rotate(&test.storage, &strict, &after).await, RotationOutcome::Invalid);
    }
    assert_eq!(rows(&test).await.2, 0);
}

#[tokio::test]
async fn s7_a_retry_inside_the_grace_period_succeeds_and_after_it_does_not() {
    let test = TestStorage::new("s7").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let request = grace(Duration::from_secs(10));
    let refresh = refresh_of(&issued);
    let _lost = next(&test.storage, &request, &client_id, refresh).await;
    let retried = next(&test.storage, &request, &client_id, refresh).await;
    next(&test.storage, &request, &client_id, refresh_of(&retried)).await;

    // A retry does not prolong the period: it counts from the first exchange.
    test.sql(
        "UPDATE oauth_storage.token SET rotated_at = rotated_at - interval '9 seconds 900 ms'
         WHERE rotated_at IS NOT NULL",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = TokenRotation::new(&client_id, refresh.clone());
    let outcome = rotate(&test.storage, &request, &late).await;
    assert!(matches!(outcome, RotationOutcome::Reused { .. }), "{outcome:?}");
    assert_eq!(rows(&test).await.2, 0, "every branch is dead");
}

#[tokio::test]
async fn s8_rotation_neither_moves_the_end_nor_widens_the_scope() {
    let test = TestStorage::new("s8").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let mut refresh = refresh_of(&issued).clone();
    let record = async |refresh: &Secret| {
        let token = TokenRef::Refresh(refresh);
        test.storage.get_token(&alice(), &client_id, token).await.unwrap().unwrap()
    };
    let before = record(&refresh).await;
    let of_scope = |refresh: &Secret, scope: &str| {
        TokenRotation::new(&client_id, refresh.clone()).with_scope(scope.parse().unwrap())
    };

    let wider = of_scope(&refresh, "openid profile admin");
    let error =
        test.storage.rotate_refresh_token(&RequestContext::default(), wider).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { field: "scope", reason: InvalidReason::NotAllowed }),
        "{error}"
    );
    assert_eq!(record(&refresh).await.state, TokenState::Active, "not spent");

    for _ in 0..5 {
        let narrower = of_scope(&refresh, "openid");
        refresh = match rotate(&test.storage, &grace(Duration::ZERO), &narrower).await {
            RotationOutcome::Issued(issued) => {
                assert_eq!(issued.token.scope.as_str(), "openid");
                refresh_of(&issued).clone()
            }
            other => panic!("{other:?}"),
        };
        let after = record(&refresh).await;
        assert_eq!(after.expires_at, before.expires_at);
        // RFC 6749 6: the refresh token's scope stays what it was.
        assert_eq!(after.scope, before.scope);
    }
    assert_eq!(rows(&test).await.0, 6);

    // No access token outlives the grant.
    test.sql("UPDATE oauth_storage.token SET expires_at = now() + interval '1 minute'").await;
    let last = next(&test.storage, &RequestContext::default(), &client_id, &refresh).await;
    assert!(last.token.expires_in() <= 60);
}

/// The scope is compared before the token is spent, by a lookup that may reach another server. A view
/// hides the token from that lookup alone.
#[tokio::test]
async fn s8_a_scope_that_could_not_be_compared_is_refused() {
    let test = TestStorage::new("s8_hidden").await;
    let (client_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    test.sql(
        "ALTER TABLE oauth_storage.token RENAME TO behind;
         CREATE FUNCTION is_visible() RETURNS boolean LANGUAGE sql VOLATILE
             AS $$ SELECT current_query() NOT LIKE '-- Tokens by the first half%' $$;
         CREATE VIEW oauth_storage.token AS
             SELECT * FROM oauth_storage.behind WHERE public.is_visible()",
    )
    .await;
    assert_eq!(test.storage.introspect(&issued.tokens.access_token).await.unwrap(), None);
    let refresh = refresh_of(&issued);
    let wider = TokenRotation::new(&client_id, refresh.clone())
        .with_scope("openid profile admin".parse().unwrap());
    let error =
        test.storage.rotate_refresh_token(&RequestContext::default(), wider).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { field: "scope", reason: InvalidReason::NotAllowed }),
        "{error}"
    );
    // Without a scope there is nothing to compare, and the token was not spent.
    next(&test.storage, &RequestContext::default(), &client_id, refresh).await;
}

/// A refresh token that joined the grant later may end later than the grant's refresh tokens do.
#[tokio::test]
async fn s8_nothing_is_issued_after_the_absolute_end_of_a_grant() {
    let test = TestStorage::new("s8_end").await;
    let (client_id, _) = test.client().await;
    let settings = Settings::default().with_refresh_token_idle_expires_in(Duration::from_hours(1));
    let tokens = TokenPair::generate().unwrap();
    let refresh = tokens.refresh_token.clone().unwrap();
    let new = NewToken::new(&client_id, scope(), tokens);
    test.storage.create_token(&alice().with_settings(settings), new).await.unwrap();
    let issued = next(&test.storage, &RequestContext::default(), &client_id, &refresh).await;
    test.sql("UPDATE oauth_storage.authorization_grant SET refresh_expires_at = now()").await;
    let late = TokenRotation::new(&client_id, refresh_of(&issued).clone());
    let outcome = rotate(&test.storage, &RequestContext::default(), &late).await;
    assert_eq!(outcome, RotationOutcome::Invalid);
}

#[tokio::test]
async fn s11_introspection_answers_alike_whatever_is_wrong() {
    let test = TestStorage::new("s11").await;
    let (client_id, _) = test.client().await;
    let tokens = async || issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let live = tokens().await;
    for token in [&live.tokens.access_token, refresh_of(&live)] {
        let found = test.storage.introspect(token).await.unwrap().unwrap();
        assert_eq!((found.client_id, found.scope), (client_id.clone(), scope()));
    }
    let (revoked, expired, rotated) = (tokens().await, tokens().await, tokens().await);
    let token = TokenRef::Any(&revoked.tokens.access_token);
    test.storage.revoke_token(&alice(), &client_id, token).await.unwrap();
    next(&test.storage, &RequestContext::default(), &client_id, refresh_of(&rotated)).await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    sqlx::query("UPDATE oauth_storage.token SET expires_at = now() WHERE digest = $1")
        .bind(digest(&expired.tokens.access_token).0)
        .execute(&mut connection)
        .await
        .unwrap();
    let odd = [Secret::new(""), Secret::new("a\0b"), Secret::new("x".repeat(100_000)), secret()];
    for token in [&revoked.tokens.access_token, &expired.tokens.access_token, refresh_of(&rotated)]
        .into_iter()
        .chain(odd.iter())
    {
        assert_eq!(test.storage.introspect(token).await.unwrap(), None);
    }
}

#[tokio::test]
async fn s16_what_was_settled_at_the_authorization_stays_the_same() {
    let test = TestStorage::new("s16").await;
    let (client_id, _) = test.client().await;
    let object = |json: serde_json::Value| json.as_object().cloned();
    let context = GrantContext::default()
        .with_nonce("n-0S6_WzA2Mj".to_owned())
        .with_auth_time(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000))
        .with_acr("urn:mace:incommon:iap:silver".to_owned())
        .with_amr(vec!["pwd".into(), "otp, \"really\"".into()])
        .with_claims(object(serde_json::json!({ "userinfo": { "email": null } })))
        .with_resource(vec!["https://api.example/".into(), "urn:ä".into()])
        .with_jkt("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".to_owned())
        .with_x5t_s256("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2".to_owned())
        .with_extension(object(serde_json::json!({ "tenant": 7 })));
    let code = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone())
        .with_context(context.clone());
    let grant_id = test.storage.create_authorization_code(&alice(), new).await.unwrap().grant_id;
    let redemption = CodeRedemption::new(&client_id, URI, code).with_refresh_token(true);
    let mut issued = issue(&test.storage, &redemption).await;
    assert_eq!((&issued.token.context, issued.token.subject.as_deref()), (&context, Some("alice")));
    for _ in 0..3 {
        // Another user at the refresh changes nothing.
        let mallory = RequestContext::for_user(User::new("mallory"));
        issued = next(&test.storage, &mallory, &client_id, refresh_of(&issued)).await;
        let token = &issued.token;
        assert_eq!((&token.context, token.subject.as_deref()), (&context, Some("alice")));
        for token in [&issued.tokens.access_token, refresh_of(&issued)] {
            let found = test.storage.introspect(token).await.unwrap().unwrap();
            assert_eq!((found.context, found.grant_id), (context.clone(), grant_id));
        }
    }
}

#[tokio::test]
async fn in_the_applications_transaction_everything_is_undone_with_it() {
    let test = TestStorage::new("transaction").await;
    let (client_id, _) = test.client().await;
    let redemption = code(&test, &client_id, &alice()).await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    let access_token = {
        let inside = test.storage.with_connection(&mut transaction);
        let access_token = issue(&inside, &redemption).await.tokens.access_token;
        assert!(inside.introspect(&access_token).await.unwrap().is_some());
        // Nobody else sees it yet.
        assert_eq!(test.storage.introspect(&access_token).await.unwrap(), None);
        access_token
    };
    transaction.rollback().await.unwrap();
    assert_eq!(test.storage.introspect(&access_token).await.unwrap(), None);

    let mut transaction = connection.begin().await.unwrap();
    {
        let inside = test.storage.with_connection(&mut transaction);
        let issued = issue(&inside, &redemption).await;
        next(&inside, &RequestContext::default(), &client_id, refresh_of(&issued)).await;
        assert_eq!(inside.list_grants("alice", None, 10).await.unwrap().grants.len(), 1);
        assert!(inside.revoke_grant(issued.token.grant_id).await.unwrap());
        assert_eq!(inside.revoke_subject("alice").await.unwrap(), 0);
        assert_eq!(inside.revoke_client(&client_id).await.unwrap(), 0);
        let new = NewToken::new(&client_id, scope(), crate::support::access_token());
        inside.create_token(&alice(), new).await.unwrap();
        assert_eq!(inside.purge_expired(10).await.unwrap().tokens, 0);
        let client = inside.read_client(&client_id).await.unwrap();
        assert!(client.is_some());
    }
    transaction.commit().await.unwrap();
    assert_eq!(rows(&test).await, (2, 1, 1));
}

/// PostgreSQL's clock decides, and it counts microseconds.
#[tokio::test]
async fn timestamps_come_from_the_server() {
    let test = TestStorage::new("clock").await;
    let (client_id, _) = test.client().await;
    let IssuedTokens { token, tokens, .. } =
        issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let found = test.storage.introspect(&tokens.access_token).await.unwrap().unwrap();
    assert_eq!(found, token, "what was given is what is stored");
    assert_eq!(token.issued_at, token.issued_at.trunc_subsecs(6));
    assert_eq!(token.expires_in(), 3600);
}
