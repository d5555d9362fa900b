//! A dump of every table has no secret that was issued.

use std::time::Duration;

use oauth_as::device::normalize_user_code;
use oauth_as::{ClientId, ScopeSet, Storage as _, TokenRequest};

use crate::flow::{SECRET, authorize, client_credentials, redemption, refreshment, server};
use crate::records::{consent, pushed};
use crate::support::TestStorage;

/// Every row of every table as text, with `bytea` as hexadecimal digits.
async fn dump(test: &TestStorage) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables
         WHERE schemaname = 'oauth_as' AND tablename <> '_sqlx_migrations'",
    )
    .fetch_all(&test.pool)
    .await
    .unwrap();
    let mut dump = Vec::new();
    for table in tables {
        let rows =
            format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM oauth_as.{table} t");
        let rows: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(rows)).fetch_one(&test.pool).await.unwrap();
        dump.push((table, rows));
    }
    dump
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_dump_has_no_secret_that_was_issued() {
    let test = TestStorage::new("secrets").await;
    let server = server(test.storage.clone(), |config| {
        // The response of a rotation is then kept with both tokens.
        config.refresh_retry_window = Duration::from_secs(60);
    })
    .await;
    let mut secrets = vec![SECRET.to_owned()];

    // A code that waits, and one that was redeemed, whose tokens are refreshed twice.
    secrets.push(authorize(&server).await);
    let code = authorize(&server).await;
    let issued = server.token(redemption(&code)).await.unwrap();
    secrets.extend([code, issued.access_token]);
    let mut refresh_token = issued.refresh_token.unwrap();
    for _ in 0..2 {
        secrets.push(refresh_token.clone());
        let issued = server.token(refreshment(&refresh_token)).await.unwrap();
        // The retry returns the same tokens, which were kept.
        let retried = server.token(refreshment(&refresh_token)).await.unwrap();
        assert_eq!(retried.access_token, issued.access_token);
        secrets.push(issued.access_token);
        refresh_token = issued.refresh_token.unwrap();
    }
    secrets.push(refresh_token);
    secrets.push(client_credentials(&server).await.access_token);

    // Device grants: pending, approved, denied.
    let (client_id, scope) = (ClientId::new("public"), ScopeSet::parse("read").unwrap());
    for decision in [None, Some(true), Some(false)] {
        let device = server.device_authorization(&client_id, None, Some(&scope)).await.unwrap();
        match decision {
            Some(true) => server.approve_device(&device.user_code, "alice").await.unwrap(),
            Some(false) => server.deny_device(&device.user_code).await.unwrap(),
            None => {}
        }
        let request = TokenRequest::DeviceCode {
            client_id: client_id.clone(),
            client_secret: None,
            device_code: device.device_code.clone(),
        };
        if decision.is_none() {
            server.token(request).await.unwrap_err();
        }
        secrets.extend([device.device_code, normalize_user_code(&device.user_code)]);
        secrets.push(device.user_code);
    }

    let request_uri = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c";
    let stored = test.storage.put_pushed_authorization_request(pushed(request_uri, "public"));
    assert!(stored.await.unwrap().is_applied());
    secrets.push(request_uri.into());
    let jti = "a jti that was used";
    assert!(test.storage.claim_replay_id(jti, std::time::SystemTime::now()).await.unwrap());
    secrets.push(jti.into());
    test.storage.put_consent(consent("consent", "public")).await.unwrap();
    test.storage.put_consent(consent("revoked", "other")).await.unwrap();
    test.storage.revoke_consent("revoked", crate::records::window()).await.unwrap();

    let dump = dump(&test).await;
    for (table, rows) in &dump {
        assert!(!rows.is_empty(), "{table} is empty, so this test shows nothing about it");
    }
    let all: String = dump.iter().map(|(_, rows)| rows.as_str()).collect();
    assert!(all.contains(&hex("client_id")), "documents are found as hexadecimal digits");
    assert_eq!(secrets.len(), 21);
    for secret in &secrets {
        for form in [secret.clone(), hex(secret)] {
            for (table, rows) in &dump {
                assert!(!rows.contains(&form), "{table} has {secret}");
            }
        }
    }
    // The plain hash of a user code can be guessed.
    let user_code = secrets.iter().find(|secret| secret.len() == 8).unwrap();
    let hash: String = sqlx::query_scalar("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')")
        .bind(user_code)
        .fetch_one(&test.pool)
        .await
        .unwrap();
    assert!(!all.replace('-', "").contains(&hash[..32]));
    assert!(!format!("{:?}", test.storage).contains("07"), "the key");
}

/// A replayed code revokes what it minted, which was sealed.
#[tokio::test]
async fn a_replay_revokes_the_tokens_of_the_code() {
    let test = TestStorage::new("replay").await;
    let server = server(test.storage.clone(), |_| {}).await;
    let code = authorize(&server).await;
    let issued = server.token(redemption(&code)).await.unwrap();
    assert!(server.introspect(&issued.access_token).await.unwrap().is_some());
    server.token(redemption(&code)).await.unwrap_err();
    assert!(server.introspect(&issued.access_token).await.unwrap().is_none());
    server.token(refreshment(&issued.refresh_token.unwrap())).await.unwrap_err();
}
