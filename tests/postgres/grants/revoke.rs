use oauth_storage::token::TokenRef;
use oauth_storage::{
    GrantStorage as _, RedemptionOutcome, RequestContext, TokenStorage as _, User,
};

use super::{code, issue, redeem, refresh_of, rows};
use crate::support::{TestStorage, alice, secret, store_grants};

#[tokio::test]
async fn s10_only_the_owner_revokes_and_an_unknown_token_is_success() {
    let test = TestStorage::new("s10").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
    for token in [&issued.tokens.access_token, refresh_of(&issued), &secret()] {
        test.storage.revoke_token(&alice(), &other_id, TokenRef::Any(token)).await.unwrap();
    }
    assert_eq!(rows(&test).await, (1, 0, 2));
    let token = TokenRef::Any(refresh_of(&issued));
    test.storage.revoke_token(&alice(), &client_id, token).await.unwrap();
    assert_eq!(rows(&test).await, (1, 0, 0));
    let named: Vec<String> =
        sqlx::query_scalar("SELECT kind::text FROM oauth_storage.token WHERE revoked")
            .fetch_all(test.storage.pool())
            .await
            .unwrap();
    assert_eq!(named, ["r"], "the flag is that of the token that was named");
}

#[tokio::test]
async fn revocation_by_grant_subject_and_client_returns_the_count() {
    let test = TestStorage::new("revoke_by").await;
    let (client_id, _) = test.client().await;
    let (other_id, _) = test.client().await;
    let bob = RequestContext::for_user(User::new("bob"));
    let mut grants = Vec::new();
    for (client_id, request) in [
        (&client_id, &alice()),
        (&client_id, &alice()),
        (&other_id, &alice()),
        (&client_id, &bob),
        (&other_id, &bob),
    ] {
        grants.push(issue(&test.storage, &code(&test, client_id, request).await).await);
    }
    let unused = code(&test, &client_id, &alice()).await;
    let live = async || {
        let mut live = Vec::new();
        for issued in &grants {
            let found = test.storage.introspect(&issued.tokens.access_token).await.unwrap();
            live.push(found.is_some());
        }
        live
    };
    let grant_id = grants[0].token.grant_id;
    assert!(!test.storage.revoke_grant_of("bob", grant_id).await.unwrap(), "it is not theirs");
    assert_eq!(live().await, [true; 5]);
    assert!(test.storage.revoke_grant(grant_id).await.unwrap());
    assert!(!test.storage.revoke_grant(grant_id).await.unwrap());
    assert_eq!(live().await, [false, true, true, true, true]);
    assert_eq!(test.storage.revoke_subject("alice").await.unwrap(), 3, "two, and the unused code");
    assert_eq!(test.storage.revoke_subject("alice").await.unwrap(), 0);
    assert_eq!(live().await, [false, false, false, true, true]);
    assert_eq!(redeem(&test.storage, &unused).await, RedemptionOutcome::Invalid);
    assert_eq!(test.storage.revoke_client(&client_id).await.unwrap(), 1);
    assert_eq!(live().await, [false, false, false, false, true]);
    for nobody in ["", "nobody", "a\0b"] {
        assert_eq!(test.storage.revoke_subject(nobody).await.unwrap(), 0);
        assert_eq!(test.storage.revoke_client(nobody).await.unwrap(), 0);
    }
    assert_eq!(live().await, [false, false, false, false, true]);
}

/// More grants than a batch.
#[tokio::test]
async fn a_subject_with_many_grants_is_revoked_batch_by_batch() {
    let test = TestStorage::new("revoke_many").await;
    let (client_id, _) = test.client().await;
    test.sql(&store_grants(25_000, &format!("'{client_id}'"), "'robot'")).await;
    assert_eq!(rows(&test).await.2, 50_000);
    assert_eq!(test.storage.revoke_subject("robot").await.unwrap(), 25_000);
    assert_eq!(rows(&test).await.2, 0);
}
