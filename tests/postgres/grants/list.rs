use oauth_storage::{
    GrantStorage as _, NewToken, Request, Rotate, TokenRef, TokenStorage as _, User,
};

use super::{code, issue, rotate, rotation};
use crate::support::{TestStorage, alice, scope, secret};

#[tokio::test]
async fn grants_are_listed_page_by_page() {
    let test = TestStorage::new("list").await;
    let (client_id, _) = test.client().await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let redeem = code(&test, &client_id, &alice()).await;
        let token = issue(&test.storage, &redeem).await;
        match n {
            0 => drop(test.storage.revoke_grant(token.grant_id).await.unwrap()),
            1 => {
                let narrower = Rotate {
                    scope: Some("openid".parse().unwrap()),
                    ..rotation(&client_id, redeem.refresh_token.as_ref().unwrap())
                };
                rotate(&test.storage, &Request::default(), &narrower).await;
                expected.push((token, true));
            }
            _ => expected.push((token, false)),
        }
    }
    // A grant without a refresh token; and one of somebody else.
    let new = NewToken::new(&client_id, scope(), secret());
    expected.push((test.storage.create_token(&alice(), new).await.unwrap(), false));
    let bob = Request::for_user(User::new("bob"));
    let new = NewToken::new(&client_id, scope(), secret());
    test.storage.create_token(&bob, new).await.unwrap();

    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = test.storage.list_grants("alice", after, 3).await.unwrap();
        after = page.last().map(|grant| grant.grant_id);
        let last = page.len() < 3;
        listed.extend(page);
        if last {
            break;
        }
    }
    assert_eq!(listed.len(), expected.len());
    for (grant, (token, was_rotated)) in listed.iter().zip(&expected) {
        assert_eq!(grant.grant_id, token.grant_id);
        assert_eq!((&grant.client_id, grant.subject.as_str()), (&client_id, "alice"));
        assert_eq!(grant.scope, scope(), "the whole scope, not the narrower one");
        assert_eq!(grant.granted_at, token.issued_at);
        assert_eq!(grant.last_rotated_at.is_some(), *was_rotated);
        assert!(grant.expires_at >= token.expires_at);
    }
    // What was rotated is no longer active: with its successors revoked the grant is gone.
    let carol = Request::for_user(User::new("carol"));
    let redeem = code(&test, &client_id, &carol).await;
    issue(&test.storage, &redeem).await;
    let successor = rotation(&client_id, redeem.refresh_token.as_ref().unwrap());
    rotate(&test.storage, &Request::default(), &successor).await;
    test.sql("UPDATE oauth_storage.token SET expires_at = now() WHERE kind = 'a'").await;
    assert_eq!(test.storage.list_grants("carol", None, 3).await.unwrap().len(), 1);
    let new_pair = TokenRef::Access(&successor.new_access_token);
    test.storage.revoke_token(&carol, &client_id, new_pair).await.unwrap();
    assert_eq!(test.storage.list_grants("carol", None, 3).await.unwrap(), []);
    assert_eq!(test.storage.list_grants("nobody", None, 3).await.unwrap(), []);
    for limit in [0, 1001] {
        assert!(test.storage.list_grants("alice", None, limit).await.is_err());
    }
}
