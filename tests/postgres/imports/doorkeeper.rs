//! Doorkeeper.

use oauth_storage::client::{GrantType, TokenEndpointAuthMethod};
use oauth_storage::grant::RotationOutcome;
use oauth_storage::token::TokenKind;
use oauth_storage::{ClientRegistry as _, GrantStorage as _, GrantStorageExt as _, Secret};

use super::{active, rotate, run};
use crate::support::TestStorage;

pub(super) const DOORKEEPER: &str = include_str!("../../../docs/import/doorkeeper.sql");

/// The tables that the generators of Doorkeeper 5.9.6 make.
pub(super) const ROWS: &str = "
    CREATE TABLE oauth_applications (
        id bigserial PRIMARY KEY, name varchar NOT NULL, uid varchar NOT NULL UNIQUE,
        secret varchar NOT NULL, redirect_uri text NOT NULL, scopes varchar NOT NULL DEFAULT '',
        confidential boolean NOT NULL DEFAULT true, created_at timestamp(6) NOT NULL,
        updated_at timestamp(6) NOT NULL
    );
    CREATE TABLE oauth_access_tokens (
        id bigserial PRIMARY KEY, resource_owner_id bigint, application_id bigint NOT NULL,
        token varchar NOT NULL UNIQUE, refresh_token varchar UNIQUE, expires_in integer,
        scopes varchar, created_at timestamp(6) NOT NULL, revoked_at timestamp(6),
        previous_refresh_token varchar NOT NULL DEFAULT ''
    );
    INSERT INTO oauth_applications
    SELECT
        id, name, uid, secret, uris, scopes, confidential, '2024-01-02 03:04:05',
        '2024-01-02 03:04:05'
    FROM (VALUES
        (1, 'Web', 'web', 'plaintext-secret',
            E'https://web.example/cb\\r\\nhttps://web.example/cb2', 'read', true),
        (2, 'Robot', 'robot', 'plaintext-secret', '', '', true),
        (3, 'App', 'app', '', 'com.example.app:/cb', '', false),
        (4, 'Old', 'old', 'x', 'urn:ietf:wg:oauth:2.0:oob', '', true)
    ) AS row (id, name, uid, secret, uris, scopes, confidential);
    INSERT INTO oauth_access_tokens
    SELECT
        id, owner, app, token, refresh, seconds, scopes,
        now() AT TIME ZONE 'UTC' - interval '1 hour' + id * interval '1 minute',
        CASE WHEN revoked THEN now() AT TIME ZONE 'UTC' - interval '5 minutes' END, previous
    FROM (VALUES
        (1, 7, 1, 'used-access', 'used-refresh', 7200, 'read', true, ''),
        (2, 7, 1, 'first-access', 'first-refresh', 7200, 'read write', false, ''),
        (3, 7, 1, 'next-access', 'next-refresh', 7200, 'read', false, 'first-refresh'),
        (4, 8, 3, 'expired-access', 'lasting-refresh', 60, 'read', false, ''),
        (5, NULL, 2, 'robot-access', NULL, NULL, '', false, ''),
        (6, 8, 4, 'old-access', NULL, 7200, 'read', false, ''),
        (7, 8, 3, 'ended-access', NULL, 60, 'read', false, '')
    ) AS row (id, owner, app, token, refresh, seconds, scopes, revoked, previous)";

/// As `hash_token_secrets` stores them from then on. The robot's token is from before.
const HASH: &str = "
    UPDATE oauth_access_tokens
    SET token = encode(sha256(convert_to(token, 'UTF8')), 'hex'),
        refresh_token = encode(sha256(convert_to(refresh_token, 'UTF8')), 'hex'),
        previous_refresh_token = coalesce(
            encode(sha256(convert_to(nullif(previous_refresh_token, ''), 'UTF8')), 'hex'), ''
        )
    WHERE id <> 5";

pub(super) fn settings(tokens: &str) -> String {
    format!("SET import.scope = 'read write'; SET import.token_storage = '{tokens}'")
}

/// The tokens are the same for a client, however they were stored.
async fn tokens_stay_valid(label: &str, rows: &str, tokens: &str, robot: bool) {
    let test = TestStorage::new(label).await;
    let storage = &test.storage;
    test.sql(rows).await;
    run(&test, &settings(tokens), DOORKEEPER).await.unwrap();

    for (token, kind) in [
        ("first-access", Some(TokenKind::Access)),
        ("next-access", Some(TokenKind::Access)),
        ("next-refresh", Some(TokenKind::Refresh)),
        ("lasting-refresh", Some(TokenKind::Refresh)),
        ("robot-access", robot.then_some(TokenKind::Access)),
        ("first-refresh", None), // exchanged
        ("used-refresh", None),  // revoked
        ("used-access", None),
        ("expired-access", None),
        ("ended-access", None),
        ("old-access", None), // its client was refused
    ] {
        assert_eq!(active(storage, token).await, kind, "{token}");
    }
    let found = storage.introspect(&Secret::new("first-access")).await.unwrap().unwrap();
    assert_eq!((found.client_id.as_str(), found.subject.as_deref()), ("web", Some("7")));
    assert_eq!(found.scope.as_str(), "read write");
    let found = storage.introspect(&Secret::new("next-access")).await.unwrap().unwrap();
    assert_eq!(found.scope.as_str(), "read");
    assert_eq!(
        storage.list_all_grants("7").await.unwrap().len(),
        1,
        "a refresh stays in its grant"
    );

    // The hash that Doorkeeper stored is not a token.
    let hash = Secret::new("first-access").digest().to_string();
    assert_eq!(active(storage, &hash).await, None);

    let rotated = rotate(storage, "app", "lasting-refresh").await;
    assert!(matches!(rotated, RotationOutcome::Issued(_)), "{rotated:?}");
    let reused = rotate(storage, "web", "first-refresh").await;
    assert!(matches!(reused, RotationOutcome::Reused { .. }), "{reused:?}");
    assert_eq!(active(storage, "next-access").await, None);
}

#[tokio::test]
async fn plaintext_tokens_stay_valid() {
    tokens_stay_valid("imports_doorkeeper", ROWS, "plain", true).await;
}

#[tokio::test]
async fn hashed_tokens_stay_valid() {
    let rows = format!("{ROWS};{HASH}");
    tokens_stay_valid("imports_doorkeeper_hashed", &rows, "sha256", false).await;
    tokens_stay_valid("imports_doorkeeper_both", &rows, "sha256 or plain", true).await;
}

#[tokio::test]
async fn applications_are_registered() {
    let test = TestStorage::new("imports_doorkeeper_clients").await;
    test.sql(ROWS).await;
    run(&test, &settings("plain"), DOORKEEPER).await.unwrap();
    let clients = test.storage.list_clients(None, 10).await.unwrap();
    let ids: Vec<&str> = clients.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(ids, ["app", "robot", "web"], "without the one of the out-of-band URI");
    for client in &clients {
        client.metadata.check().unwrap();
        assert_eq!(client.client_id_issued_at.timestamp(), 1_704_164_645, "UTC");
    }
    let [app, robot, web] = [0, 1, 2].map(|at| &clients[at].metadata);
    assert_eq!(app.token_endpoint_auth_method, TokenEndpointAuthMethod::None);
    assert_eq!(app.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert_eq!(robot.grant_types, [GrantType::ClientCredentials, GrantType::RefreshToken]);
    assert_eq!(web.redirect_uris, ["https://web.example/cb", "https://web.example/cb2"]);
    assert_eq!((web.scope.as_str(), app.scope.as_str()), ("read", "read write"));
    assert_eq!(web.details.client_name.as_deref(), Some("Web"));
}

#[tokio::test]
async fn owners_of_several_types_are_not_mixed() {
    let test = TestStorage::new("imports_doorkeeper_types").await;
    let types = "ALTER TABLE oauth_access_tokens ADD resource_owner_type varchar;
        UPDATE oauth_access_tokens SET resource_owner_type = CASE resource_owner_id
            WHEN 7 THEN 'User' WHEN 8 THEN 'Admin' END";
    test.sql(&format!("{ROWS};{types}")).await;
    let error = run(&test, &settings("plain"), DOORKEEPER).await.unwrap_err();
    assert!(error.to_string().contains("import.resource_owner_type"), "{error}");
    let settings = format!("{}; SET import.resource_owner_type = 'User'", settings("plain"));
    run(&test, &settings, DOORKEEPER).await.unwrap();
    assert!(active(&test.storage, "next-access").await.is_some());
    assert!(active(&test.storage, "robot-access").await.is_some(), "it has no owner");
    assert!(active(&test.storage, "lasting-refresh").await.is_none());
}
