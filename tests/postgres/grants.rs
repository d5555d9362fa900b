//! The safe operations, one request at a time. The races are in `races`.

mod list;
mod purge;
mod redeem;
mod revoke;
mod rotate;

use std::time::Duration;

use chrono::SubsecRound as _;
use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::grant::{GrantContext, IssuedTokens, RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, CodeRedemption, GrantStorage,
    NewAuthorizationCode, RedemptionOutcome, RequestContext, Secret, Settings, TokenStorage as _,
    User,
};
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestStorage, URI, alice, digest, scope, secret};

/// Stores a code with PKCE, and returns its redemption.
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

/// The numbers of refresh tokens, of rotated ones, and of tokens whose grant is not revoked.
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
async fn s11_introspection_returns_none_for_each_kind_of_invalid_token() {
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
async fn s16_the_context_of_an_authorization_never_changes() {
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
        // A refresh by another user changes nothing.
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
async fn a_rollback_of_the_applications_transaction_undoes_every_call() {
    let test = TestStorage::new("transaction").await;
    let (client_id, _) = test.client().await;
    let redemption = code(&test, &client_id, &alice()).await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();

    let mut transaction = connection.begin().await.unwrap();
    let access_token = {
        let inside = test.storage.with_connection(&mut transaction);
        let access_token = issue(&inside, &redemption).await.tokens.access_token;
        assert!(inside.introspect(&access_token).await.unwrap().is_some());
        // Other connections do not see it yet.
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

/// Timestamps are of PostgreSQL's clock, in microseconds.
#[tokio::test]
async fn timestamps_come_from_the_server() {
    let test = TestStorage::new("clock").await;
    let (client_id, _) = test.client().await;
    let IssuedTokens { token, tokens, .. } =
        issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    let found = test.storage.introspect(&tokens.access_token).await.unwrap().unwrap();
    assert_eq!(found, token, "the stored record is the returned one");
    assert_eq!(token.issued_at, token.issued_at.trunc_subsecs(6));
    assert_eq!(token.expires_in(), 3600);
}
