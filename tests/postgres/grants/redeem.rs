//! Redeeming codes.

use std::time::Duration;

use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef, TokenState};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, CodeRedemption, Error, GrantStorage,
    GrantStorageExt as _, NewAuthorizationCode, RedemptionOutcome, RequestContext, Secret,
    TokenPair, TokenStorage as _,
};

use super::{code, grace, issue, next, redeem, refresh_of, rotate, rows};
use crate::support::{TestStorage, URI, alice, scope, secret};

#[tokio::test]
async fn s2_a_second_valid_redemption_revokes_the_grant_and_that_survives() {
    let test = TestStorage::new("s2").await;
    let (client_id, _) = test.client().await;
    let first = code(&test, &client_id, &alice()).await;
    let issued = issue(&test.storage, &first).await;
    let other = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;

    // The refresh token was rotated in between.
    let strict = grace(Duration::ZERO);
    let moved = next(&test.storage, &strict, &client_id, refresh_of(&issued)).await;

    let grant_id = issued.token.grant_id;
    assert_eq!(redeem(&test.storage, &first).await, RedemptionOutcome::Replayed { grant_id });
    // The grant is revoked, so the code is invalid.
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
async fn s3_s4_a_mismatch_spends_nothing_and_revokes_nothing() {
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
    // Nor afterwards: a replay that does not match is no proof that the code leaked.
    try_all().await;
    assert!(test.storage.introspect(&issued.tokens.access_token).await.unwrap().is_some());

    // A verifier for a code without a challenge does not match either (RFC 9700 4.8.2).
    let plain = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(&client_id, scope(), URI, plain.clone());
    test.storage.create_authorization_code(&alice(), new).await.unwrap();
    let plain = CodeRedemption::new(&client_id, URI, plain);
    let with = plain.clone().with_code_verifier(secret());
    assert_eq!(redeem(&test.storage, &with).await, RedemptionOutcome::Invalid);
    issue(&test.storage, &plain).await;
}

#[tokio::test]
async fn s4_the_statement_itself_checks_expiry_and_client() {
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
