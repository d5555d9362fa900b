//! The safe operations, one request at a time. The races are in `races`.

mod list;
mod purge;
mod revoke;

use std::time::Duration;

use chrono::SubsecRound as _;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, CodeChallenge, Error, GrantContext,
    GrantStorage, NewAuthorizationCode, NewToken, Problem, Redeem, Redeemed, Request, Rotate,
    Rotated, Secret, Settings, Token, TokenRef, TokenState, TokenStorage as _, User,
};
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestStorage, alice, scope, secret};

const URI: &str = "https://client.example/cb";

/// A code with PKCE, and what redeems it.
async fn code(test: &TestStorage, client_id: &str, request: &Request) -> Redeem {
    let (code, verifier) = (secret(), secret());
    let new = NewAuthorizationCode {
        code_challenge: Some(CodeChallenge::s256(&verifier)),
        ..NewAuthorizationCode::new(client_id, scope(), URI, code.clone())
    };
    test.storage.create_authorization_code(request, new).await.unwrap();
    Redeem {
        code_verifier: Some(verifier),
        refresh_token: Some(secret()),
        ..Redeem::new(client_id, URI, code, secret())
    }
}

async fn issue(storage: &impl GrantStorage, redeem: &Redeem) -> Token {
    match storage.redeem_authorization_code(&Request::default(), redeem.clone()).await.unwrap() {
        Redeemed::Issued(token) => *token,
        other => panic!("{other:?}"),
    }
}

fn rotation(client_id: &str, refresh_token: &Secret) -> Rotate {
    Rotate::new(client_id, refresh_token.clone(), secret(), secret())
}

async fn rotate(storage: &impl GrantStorage, request: &Request, rotate: &Rotate) -> Rotated {
    storage.rotate_refresh_token(request, rotate.clone()).await.unwrap()
}

fn grace(grace: Duration) -> Request {
    let settings = Settings { refresh_token_grace: grace, ..Settings::default() };
    Request::default().with_settings(settings)
}

/// Refresh rows, those of them that were rotated, and rows that are not revoked.
async fn rows(test: &TestStorage) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE kind = 'r'), count(rotated_at),
                count(*) FILTER (WHERE NOT revoked) FROM oauth_storage.token",
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
    let token = issue(&test.storage, &first).await;
    let other = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;

    // The refresh token moved on in between.
    let moved = rotation(&client_id, first.refresh_token.as_ref().unwrap());
    let moved_token = rotate(&test.storage, &grace(Duration::ZERO), &moved).await;
    assert!(matches!(moved_token, Rotated::Issued(_)));

    let replay = Redeem { access_token: secret(), refresh_token: Some(secret()), ..first.clone() };
    for _ in 0..2 {
        let redeemed =
            test.storage.redeem_authorization_code(&Request::default(), replay.clone()).await;
        assert_eq!(redeemed.unwrap(), Redeemed::Replayed { grant_id: token.grant_id });
    }
    for dead in [
        &first.access_token,
        first.refresh_token.as_ref().unwrap(),
        &moved.new_access_token,
        &moved.new_refresh_token,
        &replay.access_token,
    ] {
        assert_eq!(test.storage.introspect(dead).await.unwrap(), None);
    }
    let token_ref = TokenRef::Any(&first.access_token);
    let found = test.storage.get_token(&alice(), &client_id, token_ref).await.unwrap();
    assert_eq!(found.unwrap().state, TokenState::Revoked);
    let live = test.storage.list_grants("alice", None, 10).await.unwrap();
    assert_eq!(live.iter().map(|grant| grant.grant_id).collect::<Vec<_>>(), [other.grant_id]);
}

#[tokio::test]
async fn s3_s4_what_does_not_fit_spends_nothing_and_revokes_nothing() {
    let test = TestStorage::new("s3").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let good = code(&test, &client_id, &alice()).await;
    let wrong = || {
        let good = good.clone();
        [
            ("code", Redeem { code: secret(), ..good.clone() }),
            ("no code", Redeem { code: Secret::new(""), ..good.clone() }),
            ("client", Redeem { client_id: other_id.clone(), ..good.clone() }),
            ("no client", Redeem { client_id: "a\0b".into(), ..good.clone() }),
            ("redirect URI", Redeem { redirect_uri: format!("{URI}/"), ..good.clone() }),
            ("verifier", Redeem { code_verifier: Some(secret()), ..good.clone() }),
            ("short verifier", Redeem { code_verifier: Some("x".into()), ..good.clone() }),
            ("no verifier", Redeem { code_verifier: None, ..good }),
        ]
    };
    let try_all = async || {
        for (what, redeem) in wrong() {
            let redeem = Redeem { access_token: secret(), refresh_token: None, ..redeem };
            let request = Request::default();
            let redeemed = test.storage.redeem_authorization_code(&request, redeem).await;
            assert_eq!(redeemed.unwrap(), Redeemed::Invalid, "wrong {what}");
        }
    };
    try_all().await;
    let token = issue(&test.storage, &good).await;
    assert_eq!(token.subject.as_deref(), Some("alice"));
    // Nor afterwards: a replay that does not fit is no proof that the code leaked.
    try_all().await;
    assert!(test.storage.introspect(&good.access_token).await.unwrap().is_some());

    // A verifier for a code without a challenge does not fit either (RFC 9700 4.8.2).
    let plain = secret();
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, plain.clone());
    test.storage.create_authorization_code(&alice(), new).await.unwrap();
    let redeem = Redeem::new(&client_id, URI, plain, secret());
    let with = Redeem { code_verifier: Some(secret()), ..redeem.clone() };
    let redeemed = test.storage.redeem_authorization_code(&Request::default(), with).await.unwrap();
    assert_eq!(redeemed, Redeemed::Invalid);
    issue(&test.storage, &redeem).await;
}

#[tokio::test]
async fn s4_expiry_and_the_client_are_checked_by_the_act_itself() {
    let test = TestStorage::new("s4").await;
    let (client_id, _) = test.client().await;
    let redeemed = async |redeem: &Redeem| {
        test.storage.redeem_authorization_code(&Request::default(), redeem.clone()).await.unwrap()
    };
    let expired = code(&test, &client_id, &alice()).await;
    let spent = code(&test, &client_id, &alice()).await;
    issue(&test.storage, &spent).await;
    test.sql("UPDATE oauth_storage.authorization_code SET expires_at = now()").await;
    assert_eq!(redeemed(&expired).await, Redeemed::Invalid);
    assert_eq!(redeemed(&spent).await, Redeemed::Invalid, "no replay after the end");
    assert!(test.storage.introspect(&spent.access_token).await.unwrap().is_some());

    // An expired refresh token is invalid, used before or not.
    let strict = grace(Duration::ZERO);
    let first = rotation(&client_id, spent.refresh_token.as_ref().unwrap());
    assert!(matches!(rotate(&test.storage, &strict, &first).await, Rotated::Issued(_)));
    test.sql("UPDATE oauth_storage.token SET expires_at = now() WHERE kind = 'r'").await;
    for refresh in [spent.refresh_token.as_ref().unwrap(), &first.new_refresh_token] {
        let late = rotation(&client_id, refresh);
        assert_eq!(rotate(&test.storage, &strict, &late).await, Rotated::Invalid);
    }
    assert!(test.storage.introspect(&spent.access_token).await.unwrap().is_some());
    test.sql(
        "UPDATE oauth_storage.token SET expires_at = now() + interval '1 hour', rotated_at = NULL",
    )
    .await;

    let disabled = code(&test, &client_id, &alice()).await;
    test.storage.set_client_disabled(&client_id, true).await.unwrap();
    assert_eq!(redeemed(&disabled).await, Redeemed::Invalid);
    let rotation = rotation(&client_id, spent.refresh_token.as_ref().unwrap());
    assert_eq!(rotate(&test.storage, &Request::default(), &rotation).await, Rotated::Invalid);
    test.storage.set_client_disabled(&client_id, false).await.unwrap();
    assert!(matches!(redeemed(&disabled).await, Redeemed::Issued(_)));
}

#[tokio::test]
async fn a_duplicate_among_the_new_tokens_spends_nothing() {
    let test = TestStorage::new("redeem_duplicate").await;
    let (client_id, _) = test.client().await;
    let taken = code(&test, &client_id, &alice()).await;
    issue(&test.storage, &taken).await;
    let fresh = code(&test, &client_id, &alice()).await;
    for (field, redeem) in [
        ("access_token", Redeem { access_token: taken.access_token.clone(), ..fresh.clone() }),
        ("refresh_token", Redeem { refresh_token: taken.refresh_token.clone(), ..fresh.clone() }),
    ] {
        let redeem = Redeem { code: fresh.code.clone(), ..redeem };
        match test.storage.redeem_authorization_code(&Request::default(), redeem).await {
            Err(Error::Invalid { field: f, problem: Problem::Duplicate }) => assert_eq!(f, field),
            other => panic!("{other:?}"),
        }
    }
    let refresh = taken.refresh_token.clone().unwrap();
    let rotation = Rotate::new(&client_id, refresh.clone(), secret(), refresh);
    let error = test.storage.rotate_refresh_token(&Request::default(), rotation).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Invalid { field: "refresh_token", .. }), "{error}");
    assert_eq!(rows(&test).await, (1, 0, 2));
    issue(&test.storage, &fresh).await;
}

#[tokio::test]
async fn s6_reuse_of_a_rotated_refresh_token_revokes_the_grant() {
    let test = TestStorage::new("s6").await;
    let (client_id, _) = test.client().await;
    let first = code(&test, &client_id, &alice()).await;
    let token = issue(&test.storage, &first).await;
    let strict = grace(Duration::ZERO);
    let refresh = first.refresh_token.clone().unwrap();
    let once = rotation(&client_id, &refresh);
    assert!(matches!(rotate(&test.storage, &strict, &once).await, Rotated::Issued(_)));
    // Of another client, or as an access token, it proves nothing.
    let (other_id, _) = test.client().await;
    let foreign = rotation(&other_id, &refresh);
    assert_eq!(rotate(&test.storage, &strict, &foreign).await, Rotated::Invalid);
    let access = rotation(&client_id, &first.access_token);
    assert_eq!(rotate(&test.storage, &strict, &access).await, Rotated::Invalid);
    assert!(test.storage.introspect(&once.new_access_token).await.unwrap().is_some());

    let again = rotation(&client_id, &refresh);
    let reused = Rotated::Reused { grant_id: token.grant_id };
    assert_eq!(rotate(&test.storage, &strict, &again).await, reused);
    assert_eq!(test.storage.introspect(&once.new_access_token).await.unwrap(), None);
    let next = rotation(&client_id, &once.new_refresh_token);
    assert_eq!(rotate(&test.storage, &strict, &next).await, Rotated::Invalid);
    assert_eq!(rows(&test).await.2, 0);
}

#[tokio::test]
async fn s7_a_retry_inside_the_grace_period_succeeds_and_after_it_does_not() {
    let test = TestStorage::new("s7").await;
    let (client_id, _) = test.client().await;
    let first = code(&test, &client_id, &alice()).await;
    issue(&test.storage, &first).await;
    let request = grace(Duration::from_secs(10));
    let refresh = first.refresh_token.clone().unwrap();
    let (lost, retry) = (rotation(&client_id, &refresh), rotation(&client_id, &refresh));
    for rotation in [&lost, &retry] {
        assert!(matches!(rotate(&test.storage, &request, rotation).await, Rotated::Issued(_)));
    }
    let next = rotation(&client_id, &retry.new_refresh_token);
    assert!(matches!(rotate(&test.storage, &request, &next).await, Rotated::Issued(_)));

    // A retry does not prolong the period: it counts from the first exchange.
    test.sql(
        "UPDATE oauth_storage.token SET rotated_at = rotated_at - interval '9 seconds 900 ms'
         WHERE rotated_at IS NOT NULL",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = rotation(&client_id, &refresh);
    assert!(matches!(rotate(&test.storage, &request, &late).await, Rotated::Reused { .. }));
    assert_eq!(rows(&test).await.2, 0, "every branch is dead");
}

#[tokio::test]
async fn s8_rotation_neither_moves_the_end_nor_widens_the_scope() {
    let test = TestStorage::new("s8").await;
    let (client_id, _) = test.client().await;
    let first = code(&test, &client_id, &alice()).await;
    issue(&test.storage, &first).await;
    let mut refresh = first.refresh_token.clone().unwrap();
    let record = async |refresh: &Secret| {
        let token = TokenRef::Refresh(refresh);
        test.storage.get_token(&alice(), &client_id, token).await.unwrap().unwrap()
    };
    let before = record(&refresh).await;

    let wider = Rotate {
        scope: Some("openid profile admin".parse().unwrap()),
        ..rotation(&client_id, &refresh)
    };
    let error = test.storage.rotate_refresh_token(&Request::default(), wider).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { field: "scope", problem: Problem::NotAllowed }),
        "{error}"
    );
    assert_eq!(record(&refresh).await.state, TokenState::Active, "not spent");

    for _ in 0..5 {
        let narrower =
            Rotate { scope: Some("openid".parse().unwrap()), ..rotation(&client_id, &refresh) };
        match rotate(&test.storage, &grace(Duration::ZERO), &narrower).await {
            Rotated::Issued(token) => assert_eq!(token.scope.as_str(), "openid"),
            other => panic!("{other:?}"),
        }
        refresh = narrower.new_refresh_token;
        let after = record(&refresh).await;
        assert_eq!(after.expires_at, before.expires_at);
        // RFC 6749 6: the refresh token's scope stays what it was.
        assert_eq!(after.scope, before.scope);
    }
    assert_eq!(rows(&test).await.0, 6);

    // No access token outlives the grant.
    test.sql("UPDATE oauth_storage.token SET expires_at = now() + interval '1 minute'").await;
    match rotate(&test.storage, &Request::default(), &rotation(&client_id, &refresh)).await {
        Rotated::Issued(token) => assert!(token.expires_in() <= 60),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn s11_introspection_answers_alike_whatever_is_wrong() {
    let test = TestStorage::new("s11").await;
    let (client_id, _) = test.client().await;
    let tokens = async || {
        let redeem = code(&test, &client_id, &alice()).await;
        issue(&test.storage, &redeem).await;
        redeem
    };
    let live = tokens().await;
    for token in [&live.access_token, live.refresh_token.as_ref().unwrap()] {
        let found = test.storage.introspect(token).await.unwrap().unwrap();
        assert_eq!((found.client_id, found.scope), (client_id.clone(), scope()));
    }
    let (revoked, expired, rotated) = (tokens().await, tokens().await, tokens().await);
    let token = TokenRef::Any(&revoked.access_token);
    test.storage.revoke_token(&alice(), &client_id, token).await.unwrap();
    let rotated = rotated.refresh_token.unwrap();
    rotate(&test.storage, &Request::default(), &rotation(&client_id, &rotated)).await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    sqlx::query("UPDATE oauth_storage.token SET expires_at = now() WHERE digest = $1")
        .bind(&expired.access_token.digest().as_bytes()[..])
        .execute(&mut connection)
        .await
        .unwrap();
    let odd = [Secret::new(""), Secret::new("a\0b"), Secret::new("x".repeat(100_000)), secret()];
    for token in
        [&revoked.access_token, &expired.access_token, &rotated].into_iter().chain(odd.iter())
    {
        assert_eq!(test.storage.introspect(token).await.unwrap(), None);
    }
}

#[tokio::test]
async fn s16_what_was_settled_at_the_authorization_stays_the_same() {
    let test = TestStorage::new("s16").await;
    let (client_id, _) = test.client().await;
    let object = |json: serde_json::Value| json.as_object().cloned();
    let context = GrantContext {
        nonce: Some("n-0S6_WzA2Mj".into()),
        auth_time: Some(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000)),
        acr: Some("urn:mace:incommon:iap:silver".into()),
        amr: vec!["pwd".into(), "otp, \"really\"".into()],
        claims: object(serde_json::json!({ "userinfo": { "email": null } })),
        resource: vec!["https://api.example/".into(), "urn:ä".into()],
        jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into()),
        x5t_s256: Some("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2".into()),
        extension: object(serde_json::json!({ "tenant": 7 })),
    };
    let (secret_code, verifier) = (secret(), secret());
    let new = NewAuthorizationCode {
        code_challenge: Some(CodeChallenge::s256(&verifier)),
        context: context.clone(),
        ..NewAuthorizationCode::new(&client_id, scope(), URI, secret_code.clone())
    };
    test.storage.create_authorization_code(&alice(), new).await.unwrap();
    let redeem = Redeem {
        code_verifier: Some(verifier),
        refresh_token: Some(secret()),
        ..Redeem::new(&client_id, URI, secret_code, secret())
    };
    let token = issue(&test.storage, &redeem).await;
    assert_eq!((&token.context, token.subject.as_deref()), (&context, Some("alice")));
    let mut refresh = redeem.refresh_token.unwrap();
    for _ in 0..3 {
        let rotation = rotation(&client_id, &refresh);
        // Another user at the refresh changes nothing.
        let mallory = Request::for_user(User::new("mallory"));
        match rotate(&test.storage, &mallory, &rotation).await {
            Rotated::Issued(token) => {
                assert_eq!((&token.context, token.subject.as_deref()), (&context, Some("alice")));
            }
            other => panic!("{other:?}"),
        }
        for token in [&rotation.new_access_token, &rotation.new_refresh_token] {
            let found = test.storage.introspect(token).await.unwrap().unwrap();
            assert_eq!(found.context, context);
            assert_eq!(found.grant_id, token_grant(&test).await);
        }
        refresh = rotation.new_refresh_token;
    }
}

/// The one grant of the database.
async fn token_grant(test: &TestStorage) -> uuid::Uuid {
    let grants: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT DISTINCT grant_id FROM oauth_storage.token")
            .fetch_all(test.storage.pool())
            .await
            .unwrap();
    assert_eq!(grants.len(), 1);
    grants[0]
}

#[tokio::test]
async fn in_the_applications_transaction_everything_is_undone_with_it() {
    let test = TestStorage::new("transaction").await;
    let (client_id, _) = test.client().await;
    let redeem = code(&test, &client_id, &alice()).await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    {
        let inside = test.storage.on(&mut transaction);
        issue(&inside, &redeem).await;
        assert!(inside.introspect(&redeem.access_token).await.unwrap().is_some());
        // Nobody else sees it yet.
        assert_eq!(test.storage.introspect(&redeem.access_token).await.unwrap(), None);
    }
    transaction.rollback().await.unwrap();
    assert_eq!(test.storage.introspect(&redeem.access_token).await.unwrap(), None);

    let mut transaction = connection.begin().await.unwrap();
    {
        let inside = test.storage.on(&mut transaction);
        let token = issue(&inside, &redeem).await;
        let refresh = redeem.refresh_token.as_ref().unwrap();
        let rotation = rotation(&client_id, refresh);
        let rotated = rotate(&inside, &Request::default(), &rotation).await;
        assert!(matches!(rotated, Rotated::Issued(_)));
        assert_eq!(inside.list_grants("alice", None, 10).await.unwrap().len(), 1);
        assert_eq!(inside.revoke_grant(token.grant_id).await.unwrap(), 4);
        assert_eq!(inside.revoke_subject("alice").await.unwrap(), 0);
        assert_eq!(inside.revoke_client(&client_id).await.unwrap(), 0);
        let new = NewToken::new(&client_id, scope(), secret());
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
    let redeem = code(&test, &client_id, &alice()).await;
    let token = issue(&test.storage, &redeem).await;
    let found = test.storage.introspect(&redeem.access_token).await.unwrap().unwrap();
    assert_eq!(found, token, "what was given is what is stored");
    assert_eq!(token.issued_at, token.issued_at.trunc_subsecs(6));
    assert_eq!(token.expires_in(), 3600);
}
