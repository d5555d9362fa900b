//! Records for the tests, and what a store must keep of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth_as::consent::ConsentRecord;
use oauth_as::par::PushedAuthorizationRequest;
use oauth_as::{
    AuthorizationCodeRecord, AuthorizationCodeState, Client, ClientAuth, ClientId, DeviceGrant,
    DeviceGrantState, GrantType, IssuedToken, RefreshTokenRecord, RefreshTokenState,
    RevocationWindow, ScopeSet, SecretHash, Storage as _,
};

use crate::support::{TestStorage, connect, other_key};

/// The time of a grant.
pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

/// A revocation after all grants of the tests.
pub(crate) fn window() -> RevocationWindow {
    RevocationWindow { recorded_at: at(100), until: at(10_000) }
}

pub(crate) fn scope() -> ScopeSet {
    ScopeSet::parse("read write").unwrap()
}

pub(crate) fn client(client_id: &str, auth: ClientAuth) -> Client {
    Client {
        client_id: ClientId::new(client_id),
        auth,
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec!["https://client.example/cb".into()],
        allowed_scopes: scope(),
        default_scopes: scope(),
        name: None,
        registration: None,
    }
}

pub(crate) fn device_grant(device_code: &str, user_code: &str) -> DeviceGrant {
    DeviceGrant {
        device_code: device_code.into(),
        user_code: user_code.into(),
        client_id: ClientId::new("client"),
        scope: scope(),
        state: DeviceGrantState::Pending,
        created_at: at(0),
        expires_at: at(600),
        interval: Duration::from_secs(5),
        last_poll_at: None,
    }
}

pub(crate) fn code(code: &str) -> AuthorizationCodeRecord {
    let uri = "https://client.example/cb";
    let id = ClientId::new("client");
    let mut record =
        AuthorizationCodeRecord::new(code, id, uri, scope(), "alice", "challenge", at(60));
    record.issued_at = at(0);
    record
}

pub(crate) fn token(access_token: &str, client_id: &str, family: &str) -> IssuedToken {
    let (id, subject) = (ClientId::new(client_id), Some("alice".into()));
    let mut token = IssuedToken::new(access_token, id, subject, scope(), at(0), at(3600));
    token.grant_established_at = at(0);
    token.family_id = Some(family.into());
    token
}

pub(crate) fn refresh(refresh_token: &str, client_id: &str, family: &str) -> RefreshTokenRecord {
    let (id, subject) = (ClientId::new(client_id), Some("alice".into()));
    let mut record = RefreshTokenRecord::new(refresh_token, id, subject, scope(), family);
    record.grant_established_at = at(0);
    record.expires_at = Some(at(86_400));
    record
}

pub(crate) fn pushed(request_uri: &str, client_id: &str) -> PushedAuthorizationRequest {
    let mut record = PushedAuthorizationRequest::new(request_uri, ClientId::new(client_id), at(60));
    record.pushed_at = at(0);
    record
}

pub(crate) fn consent(consent_id: &str, client_id: &str) -> ConsentRecord {
    ConsentRecord {
        consent_id: consent_id.into(),
        client_id: ClientId::new(client_id),
        subject: "alice".into(),
        scope: scope(),
        resource: vec![],
        granted_at: at(0),
        authentication: None,
    }
}

/// Any text can be an identifier or a token: it comes out of a request.
#[tokio::test]
async fn hostile_texts_are_keys_like_any_other() {
    let test = TestStorage::new("hostile").await;
    let storage = &test.storage;
    for text in
        ["", "\0", "a\0b", "../%2F", "'; DROP TABLE", "\u{fffd}\u{202e}", &"x".repeat(1 << 20)]
    {
        let client = client(text, ClientAuth::Public);
        assert_eq!(storage.get_client(&client.client_id).await.unwrap(), None);
        storage.put_client(client.clone()).await.unwrap();
        assert_eq!(*storage.get_client(&client.client_id).await.unwrap().unwrap(), client);

        let mut token = token(text, text, text);
        token.subject = Some(text.into());
        assert!(storage.put_token(token.clone()).await.unwrap().is_applied());
        assert_eq!(*storage.get_token(text).await.unwrap().unwrap(), token);

        assert!(storage.claim_replay_id(text, at(0)).await.unwrap());
        assert!(!storage.claim_replay_id(text, at(0)).await.unwrap());
    }
}

#[tokio::test]
async fn every_kind_of_authentication_comes_back() {
    let test = TestStorage::new("auth").await;
    let storage = &test.storage;
    let hash = SecretHash::custom("argon2id", "$argon2id$…");
    for auth in [
        ClientAuth::Public,
        ClientAuth::ConfidentialSecret { secret: "hunter2".into() },
        ClientAuth::ConfidentialSecretHash { hash },
    ] {
        let expected = client("client", auth);
        storage.put_client(expected.clone()).await.unwrap();
        let found = storage.get_client(&expected.client_id).await.unwrap().unwrap();
        assert_eq!(*found, expected);
        // Sealed anew with each write, and yet the same record.
        let mut updated = expected.clone();
        updated.name = Some("renamed".into());
        assert!(storage.compare_and_swap_client(&expected, updated).await.unwrap());
        assert!(!storage.compare_and_swap_client(&expected, expected.clone()).await.unwrap());
    }
}

/// `put_consent` with another identifier replaces the consent of the pair.
#[tokio::test]
async fn a_pair_has_at_most_one_consent() {
    let test = TestStorage::new("consents").await;
    let storage = &test.storage;
    storage.put_consent(consent("one", "client")).await.unwrap();
    storage.put_consent(consent("two", "client")).await.unwrap();
    assert_eq!(storage.get_consent("one").await.unwrap(), None);
    let found = storage.find_consent(&ClientId::new("client"), "alice").await.unwrap();
    assert_eq!(*found.unwrap().consent_id, *"two");
    // The same identifier for another pair moves it.
    storage.put_consent(consent("two", "other")).await.unwrap();
    assert_eq!(storage.find_consent(&ClientId::new("client"), "alice").await.unwrap(), None);
    assert_eq!(storage.consents_for_subject("alice").await.unwrap().len(), 1);
}

/// Nodes with the new key and nodes that still have the old one.
#[tokio::test]
async fn a_key_is_replaced_without_a_gap() {
    let test = TestStorage::new("key").await;
    let old = &test.storage;
    let secret = ClientAuth::ConfidentialSecret { secret: "hunter2".into() };
    let client = client("client", secret);
    old.put_client(client.clone()).await.unwrap();
    old.put_device_grant(device_grant("device-old", "WDJB-MJHT")).await.unwrap();

    let (other, _) = connect(test.database.url(), other_key()).await;
    let error = other.get_client(&client.client_id).await.unwrap_err();
    assert!(error.to_string().contains("with_previous_key"), "{error}");

    let new = other.with_previous_key(crate::support::key());
    let old = old.clone().with_previous_key(other_key());
    new.put_device_grant(device_grant("device-new", "BCDF-GHJK")).await.unwrap();
    for node in [&new, &old] {
        assert_eq!(*node.get_client(&client.client_id).await.unwrap().unwrap(), client);
        for (device, user) in [("device-old", "WDJBMJHT"), ("device-new", "BCDFGHJK")] {
            let found = node.find_device_grant_by_user_code(user).await.unwrap().unwrap();
            assert_eq!(found.device_code, device);
            assert_eq!(node.get_device_grant(device).await.unwrap(), Some(found));
        }
    }
}

/// More than a batch.
#[tokio::test]
async fn a_sweep_ends_and_counts_every_row_once() {
    let test = TestStorage::new("sweep").await;
    sqlx::query(
        "INSERT INTO oauth_as.access_token (expires_at, digest, digest_tail, client, document)
         SELECT n, md5(n::text)::uuid, md5(n::text)::uuid, md5('client')::uuid, '{}'
         FROM generate_series(1, 2500) n",
    )
    .execute(&test.pool)
    .await
    .unwrap();
    let now = UNIX_EPOCH + Duration::from_nanos(2400);
    let nodes = [test.storage.clone(), test.storage.clone()];
    let (one, two) = tokio::join!(nodes[0].sweep_expired(now), nodes[1].sweep_expired(now));
    let rest = test.storage.sweep_expired(now).await.unwrap();
    assert_eq!(one.unwrap() + two.unwrap() + rest, 2400);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_as.access_token")
        .fetch_one(&test.pool)
        .await
        .unwrap();
    assert_eq!(left, 100);
}

/// The tokens kept with a spent refresh token and a consumed code are restored for their holder.
#[tokio::test]
async fn the_tokens_of_a_consumed_code_come_back() {
    let test = TestStorage::new("consumed").await;
    let mut record = code("the code");
    let minted = |access: Option<&str>| AuthorizationCodeState::Consumed {
        access_token: access.map(Into::into),
        refresh_token: None,
    };
    record.state = minted(None);
    test.storage.put_authorization_code(record.clone()).await.unwrap();
    let mut updated = record.clone();
    updated.state = minted(Some("an access token"));
    let swap = test.storage.compare_and_swap_authorization_code(&record.state, updated.clone());
    assert!(swap.await.unwrap());
    let other = minted(Some("another"));
    let swap = test.storage.compare_and_swap_authorization_code(&other, record);
    assert!(!swap.await.unwrap(), "another access token is another state");
    let taken = test.storage.take_authorization_code("the code").await.unwrap();
    assert_eq!(taken, Some(updated));
}

/// A statement in another isolation level would not see a barrier, so it must fail.
#[tokio::test]
async fn another_isolation_level_is_refused() {
    let test = TestStorage::new("isolation").await;
    let sql = "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'";
    let sql = sql.replace("{}", test.database.name());
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&test.pool).await.unwrap();
    let pool = sqlx::PgPool::connect(test.database.url()).await.unwrap();
    let storage = oauth_storage_oauth_as::OauthAsStorage::from_pool(pool, crate::support::key());
    let error = storage.put_token(token("token", "client", "family")).await.unwrap_err();
    assert!(error.to_string().contains("READ COMMITTED"), "{error}");
    let error = storage.revoke_token_family("family", window()).await.unwrap_err();
    assert!(error.to_string().contains("READ COMMITTED"), "{error}");
    // The pool of a `PgStorage` sets it.
    let (storage, _) = connect(test.database.url(), crate::support::key()).await;
    assert!(storage.put_token(token("token", "client", "family")).await.unwrap().is_applied());
}

#[tokio::test]
async fn a_spent_token_is_not_redeemed_again() {
    let test = TestStorage::new("spent").await;
    let storage = &test.storage;
    let expected = refresh("one", "client", "family");
    assert!(storage.put_refresh_token(expected.clone()).await.unwrap().is_applied());
    let mut spent = expected.clone();
    spent.state = RefreshTokenState::Spent;
    let (access, next) = (token("access", "client", "family"), refresh("two", "client", "family"));
    assert!(storage.rotate_refresh_token(&expected, &spent, &access, Some(&next)).await.unwrap());
    assert!(!storage.rotate_refresh_token(&expected, &spent, &access, Some(&next)).await.unwrap());
    // Without a successor.
    let mut end = next.clone();
    end.state = RefreshTokenState::Spent;
    assert!(storage.rotate_refresh_token(&next, &end, &access, None).await.unwrap());
    assert_eq!(*storage.get_refresh_token("two").await.unwrap().unwrap(), end);
    assert!(storage.rotate_refresh_token(&end, &spent, &access, None).await.is_err());
    // A revocation before the rotation.
    assert_eq!(storage.revoke_token_family("family", window()).await.unwrap(), 3);
    assert!(!storage.rotate_refresh_token(&next, &end, &access, None).await.unwrap());
}
