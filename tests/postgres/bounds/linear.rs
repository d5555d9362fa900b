//! S18: the time of each statement over many rows is linear, on tables with statistics.

use std::ops::ControlFlow;
use std::time::Duration;

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    ClientRegistry as _, GrantStorage as _, GrantStorageExt as _, RequestContext, Settings,
    TokenPair, TokenStorage as _,
};
use uuid::Uuid;

use super::{is_linear, new, timed};
use crate::support::{alice, pair, scope, store_expired_tokens, store_grants};

fn rows() -> usize {
    let full = std::env::var("OAUTH_STORAGE_TEST_FULL").is_ok_and(|full| full == "1");
    if full { 25_000 } else { 4_000 }
}

/// The case of the original report: unrevoked pairs of one client, and a table with statistics.
#[tokio::test]
async fn s18_revoking_a_client_is_linear() {
    let (test, client_id) = new("s18_client").await;
    is_linear("revoke_client", rows(), async |rows| {
        test.sql(&store_grants(rows, &format!("'{client_id}'"), "'user-' || n")).await;
        let (took, revoked) = timed(test.storage.revoke_client(&client_id)).await;
        assert_eq!(revoked.unwrap(), rows as u64);
        took
    })
    .await;
}

/// Unused clients that registered themselves, beside the grants of one that stays.
#[tokio::test]
async fn s18_purging_unused_clients_is_linear() {
    let (test, client_id) = new("s18_unused").await;
    test.sql(&store_grants(20_000, &format!("'{client_id}'"), "'user-' || n")).await;
    is_linear("purge_clients", rows(), async |rows| {
        // Each client takes several statements, so there are fewer of them.
        let clients = rows / 80;
        test.sql(&format!(
            "INSERT INTO oauth_storage.client (client_id, client_id_issued_at,
                 registration_access_token_hash, token_endpoint_auth_method, redirect_uris,
                 grant_types, response_types, scope, details)
             SELECT 'unused-' || n, now() - interval '60 days', 'sha256:', 'none', '{{}}',
                 '{{authorization_code}}', '{{code}}', '', '{{}}'
             FROM generate_series(1, {clients}) AS n;
             INSERT INTO oauth_storage.client_lock
             SELECT client_id FROM oauth_storage.client WHERE client_id LIKE 'unused-%';
             ANALYZE"
        ))
        .await;
        let month = Duration::from_hours(24 * 30);
        let (took, purged) = timed(test.storage.purge_clients(month)).await;
        assert_eq!(purged.unwrap(), clients as u64);
        took
    })
    .await;
}

#[tokio::test]
async fn s18_revoking_and_erasing_a_subject_is_linear() {
    let (test, _) = new("s18_subject").await;
    is_linear("revoke_subject", rows(), async |rows| {
        // Grants that were revoked before must not count, so each round has another subject.
        let subject = Uuid::new_v4();
        test.sql(&store_grants(rows, "'client-' || n % 50", &format!("'{subject}'"))).await;
        let (took, revoked) = timed(test.storage.revoke_subject(&subject.to_string())).await;
        assert_eq!(revoked.unwrap(), rows as u64);
        took
    })
    .await;
    is_linear("erase_subject", rows(), async |rows| {
        test.sql(&store_grants(rows, "'client-' || n % 50", "'goes'")).await;
        let (took, erased) = timed(test.storage.erase_subject("goes")).await;
        assert_eq!(erased.unwrap(), rows as u64);
        took
    })
    .await;
    is_linear("list_all_grants", rows(), async |rows| {
        let subject = Uuid::new_v4().to_string();
        test.sql(&store_grants(rows, "'client-' || n % 50", &format!("'{subject}'"))).await;
        let (took, listed) = timed(test.storage.list_all_grants(&subject)).await;
        assert_eq!(listed.unwrap().len(), rows);
        took
    })
    .await;
}

#[tokio::test]
async fn s18_deleting_a_client_is_linear() {
    let (test, _) = new("s18_delete").await;
    is_linear("delete_client", rows(), async |rows| {
        let (client_id, _) = test.client().await;
        test.sql(&store_grants(rows, &format!("'{client_id}'"), "'user-' || n % 50")).await;
        let (took, deleted) = timed(test.storage.delete_client(&client_id)).await;
        assert!(deleted.unwrap());
        took
    })
    .await;
}

#[tokio::test]
async fn s18_a_purge_is_linear() {
    let (test, client_id) = new("s18_purge").await;
    // Rows that are not to be purged.
    test.sql(&store_grants(rows(), &format!("'{client_id}'"), "'stays'")).await;
    is_linear("purge", rows(), async |rows| {
        test.sql(&store_expired_tokens(rows, &client_id)).await;
        let all = test.storage.purge_with(1_000, |_| ControlFlow::Continue(()));
        let (took, purged) = timed(all).await;
        assert_eq!(purged.unwrap().tokens, rows as u64);
        took
    })
    .await;
    is_linear("purge of device authorizations", rows(), async |rows| {
        test.sql(&format!(
            "INSERT INTO oauth_storage.device_authorization (issued_at, expires_at, grant_id, digest,
                 digest_tail, user_code_digest, poll_interval, state, client_id, scope)
             SELECT now(), now() - interval '1 minute', gen_random_uuid(), gen_random_uuid(),
                 gen_random_uuid(), gen_random_uuid(), 5, 'a', '{client_id}', ''
             FROM generate_series(1, {rows});
             -- Each was approved, and none was polled since.
             INSERT INTO oauth_storage.authorization_grant (granted_at, expires_at, grant_id, client_id,
                 subject, scope)
             SELECT issued_at, expires_at, grant_id, client_id, 'user', ''
             FROM oauth_storage.device_authorization;
             ANALYZE oauth_storage.device_authorization, oauth_storage.authorization_grant"
        ))
        .await;
        let all = test.storage.purge_with(1_000, |_| ControlFlow::Continue(()));
        let (took, purged) = timed(all).await;
        let purged = purged.unwrap();
        assert_eq!((purged.device_authorizations, purged.grants), (rows as u64, rows as u64));
        took
    })
    .await;
    is_linear("purge_expired, one batch", rows(), async |rows| {
        test.sql(&store_expired_tokens(rows, &client_id)).await;
        let (took, purged) = timed(test.storage.purge_expired(rows)).await;
        assert_eq!(purged.unwrap().tokens, rows as u64);
        took
    })
    .await;
}

#[tokio::test]
async fn s18_deleting_many_consents_is_linear() {
    let (test, client_id) = new("s18_consents").await;
    // Consents that stay.
    test.sql(&store_consents(rows(), "'user-' || n", &format!("'{client_id}'"))).await;
    is_linear("delete_client with consents", rows(), async |rows| {
        let (client_id, _) = test.client().await;
        test.sql(&store_consents(rows, "'user-' || n", &format!("'{client_id}'"))).await;
        let (took, deleted) = timed(test.storage.delete_client(&client_id)).await;
        assert!(deleted.unwrap());
        took
    })
    .await;
    is_linear("erase_subject with consents", rows(), async |rows| {
        test.sql(&store_consents(rows, "'erased'", "'client-' || n")).await;
        let (took, erased) = timed(test.storage.erase_subject("erased")).await;
        erased.unwrap();
        took
    })
    .await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_storage.consent")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert_eq!(left, i64::try_from(rows()).unwrap(), "and no other consent is deleted");
}

fn store_consents(rows: usize, subject: &str, client_id: &str) -> String {
    format!(
        "INSERT INTO oauth_storage.consent (granted_at, updated_at, subject, client_id, scope)
         SELECT now(), now(), {subject}, {client_id}, 'openid email' FROM generate_series(1, {rows}) n;
         ANALYZE oauth_storage.consent"
    )
}

/// A grant with many rotations: each way to end it takes one row.
#[tokio::test]
async fn s18_the_rotations_of_a_grant_cost_its_revocation_nothing() {
    let (test, client_id) = new("s18_rotations").await;
    let storage = &test.storage;
    let rotations = if rows() > 4_000 { 500_000 } else { 50_000 };
    let strict = RequestContext::default()
        .with_settings(Settings::default().with_refresh_token_grace(Duration::ZERO));
    let mut took = Vec::new();
    for way in ["revoke_grant", "revoke_token", "replay"] {
        let first = pair();
        let refresh = first.refresh_token.clone().unwrap();
        let new = NewToken::new(&client_id, scope(), first.clone());
        let grant_id = storage.create_token(&alice(), new).await.unwrap().grant_id;
        let rotation = TokenRotation::new(&client_id, refresh.clone());
        let rotated = storage.rotate_refresh_token(&strict, rotation.clone()).await.unwrap();
        let RotationOutcome::Issued(issued) = rotated else { panic!("{rotated:?}") };
        test.sql(&format!(
            "INSERT INTO oauth_storage.token
                 (issued_at, expires_at, rotated_at, grant_id, digest, digest_tail, kind)
             SELECT now(), now() + interval '90 days', CASE kind WHEN 'r' THEN now() END,
                 '{grant_id}', gen_random_uuid(), gen_random_uuid(), kind::\"char\"
             FROM generate_series(1, {rotations}) n, unnest(ARRAY['a', 'r']) kind;
             ANALYZE oauth_storage.token, oauth_storage.authorization_grant"
        ))
        .await;
        let live: TokenPair = issued.tokens;
        assert!(storage.introspect(&live.access_token).await.unwrap().is_some());
        let (elapsed, ()) = timed(async {
            match way {
                "revoke_grant" => assert!(storage.revoke_grant(grant_id).await.unwrap()),
                "revoke_token" => {
                    let token = TokenRef::Any(&live.access_token);
                    storage.revoke_token(&alice(), &client_id, token).await.unwrap();
                }
                _ => {
                    let reused = storage.rotate_refresh_token(&strict, rotation).await.unwrap();
                    assert_eq!(reused, RotationOutcome::Reused { grant_id });
                }
            }
        })
        .await;
        took.push((way, elapsed));
        for token in [&live.access_token, live.refresh_token.as_ref().unwrap()] {
            assert_eq!(storage.introspect(token).await.unwrap(), None, "{way}");
        }
    }
    println!("{rotations} rotations: {took:?}");
    // 10 ms on an idle machine, which the benchmark requires.
    let slow = Duration::from_millis(100);
    assert!(took.iter().all(|(_, elapsed)| *elapsed < slow), "{took:?}");
}
