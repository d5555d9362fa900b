use oauth_storage::{GrantStorage as _, Redeemed, Request, TokenRef, TokenStorage as _, User};

use super::{code, issue, rows};
use crate::support::{TestStorage, alice, secret};

#[tokio::test]
async fn s10_only_the_owner_revokes_and_an_unknown_token_is_success() {
    let test = TestStorage::new("s10").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let first = code(&test, &client_id, &alice()).await;
    issue(&test.storage, &first).await;
    for token in [&first.access_token, first.refresh_token.as_ref().unwrap(), &secret()] {
        test.storage.revoke_token(&alice(), &other_id, TokenRef::Any(token)).await.unwrap();
    }
    assert_eq!(rows(&test).await, (1, 0, 2));
    let token = TokenRef::Any(first.refresh_token.as_ref().unwrap());
    test.storage.revoke_token(&alice(), &client_id, token).await.unwrap();
    assert_eq!(rows(&test).await, (1, 0, 0));
}

#[tokio::test]
async fn revocation_by_grant_subject_and_client_says_how_many() {
    let test = TestStorage::new("revoke_by").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let bob = Request::for_user(User::new("bob"));
    let mut tokens = Vec::new();
    for (client_id, request) in [
        (&client_id, &alice()),
        (&client_id, &alice()),
        (&other_id, &alice()),
        (&client_id, &bob),
        (&other_id, &bob),
    ] {
        let redeem = code(&test, client_id, request).await;
        tokens.push((issue(&test.storage, &redeem).await, redeem));
    }
    let unused = code(&test, &client_id, &alice()).await;
    let live = async || {
        let mut live = Vec::new();
        for (_, redeem) in &tokens {
            live.push(test.storage.introspect(&redeem.access_token).await.unwrap().is_some());
        }
        live
    };
    let grant_id = tokens[0].0.grant_id;
    assert_eq!(test.storage.revoke_grant(grant_id).await.unwrap(), 2);
    assert_eq!(test.storage.revoke_grant(grant_id).await.unwrap(), 0);
    assert_eq!(live().await, [false, true, true, true, true]);
    assert_eq!(test.storage.revoke_subject("alice").await.unwrap(), 4);
    assert_eq!(test.storage.revoke_subject("alice").await.unwrap(), 0);
    assert_eq!(live().await, [false, false, false, true, true]);
    let redeemed = test.storage.redeem_authorization_code(&Request::default(), unused).await;
    assert_eq!(redeemed.unwrap(), Redeemed::Invalid, "the unused code is revoked, too");
    assert_eq!(test.storage.revoke_client(&client_id).await.unwrap(), 2);
    assert_eq!(live().await, [false, false, false, false, true]);
    for nobody in ["", "nobody", "a\0b"] {
        assert_eq!(test.storage.revoke_subject(nobody).await.unwrap(), 0);
        assert_eq!(test.storage.revoke_client(nobody).await.unwrap(), 0);
    }
    assert_eq!(live().await, [false, false, false, false, true]);
}

/// More tokens than one statement takes.
#[tokio::test]
async fn a_subject_with_many_tokens_is_revoked_batch_by_batch() {
    let test = TestStorage::new("revoke_many").await;
    let (client_id, _) = test.client().await;
    test.sql(&format!(
        "INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest,
             client_id, subject, scope)
         SELECT now(), now() + interval '1 hour', gen_random_uuid(), 'a',
             sha256(n::text::bytea), '{client_id}', 'robot', '' FROM generate_series(1, 25000) n"
    ))
    .await;
    assert_eq!(test.storage.revoke_subject("robot").await.unwrap(), 25_000);
    assert_eq!(rows(&test).await.2, 0);
}
