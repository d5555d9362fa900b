use std::time::{Duration, Instant};

use oauth_storage::grant::{GrantState, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    GrantStorage as _, GrantStorageExt as _, RequestContext, TokenStorage as _, User,
};

use super::{code, issue, next, refresh_of, rotate};
use crate::support::{TestStorage, access_token, alice, pair, scope, store_grants};

#[tokio::test]
async fn grants_are_listed_page_by_page_the_newest_first() {
    let test = TestStorage::new("list").await;
    let (client_id, _) = test.client().await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let issued = issue(&test.storage, &code(&test, &client_id, &alice()).await).await;
        match n {
            0 => {
                test.storage.revoke_grant(issued.token.grant_id).await.unwrap();
                continue;
            }
            1 => {
                let refresh = refresh_of(&issued).clone();
                let narrower =
                    TokenRotation::new(&client_id, refresh).with_scope("openid".parse().unwrap());
                let _ = rotate(&test.storage, &RequestContext::default(), &narrower).await;
            }
            _ => {}
        }
        expected.push(issued.token);
    }
    // A grant without a refresh token, and one of another subject.
    let new = NewToken::new(&client_id, scope(), access_token());
    expected.push(test.storage.create_token(&alice(), new).await.unwrap());
    let bob = RequestContext::for_user(User::new("bob"));
    let new = NewToken::new(&client_id, scope(), access_token());
    test.storage.create_token(&bob, new).await.unwrap();

    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = test.storage.list_grants("alice", after, 3).await.unwrap();
        assert!(page.grants.len() <= 3);
        listed.extend(page.grants);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed.len(), expected.len());
    expected.sort_unstable_by_key(|token| std::cmp::Reverse(token.grant_id));
    for (grant, token) in listed.iter().zip(&expected) {
        assert_eq!(grant.grant_id, token.grant_id);
        assert_eq!((&grant.client_id, grant.subject.as_deref()), (&client_id, Some("alice")));
        assert_eq!(grant.scope, scope(), "the whole scope, not the narrower one");
        assert!(grant.granted_at <= token.issued_at);
        assert!(grant.expires_at >= token.expires_at);
        assert_eq!(grant.state, GrantState::Active);
    }
    // The revocation of the last token of a chain ends the grant.
    let carol = RequestContext::for_user(User::new("carol"));
    let issued = issue(&test.storage, &code(&test, &client_id, &carol).await).await;
    let moved =
        next(&test.storage, &RequestContext::default(), &client_id, refresh_of(&issued)).await;
    assert_eq!(test.storage.list_all_grants("carol").await.unwrap().len(), 1);
    let token = TokenRef::Access(&moved.tokens.access_token);
    test.storage.revoke_token(&carol, &client_id, token).await.unwrap();
    for subject in ["carol", "nobody"] {
        assert_eq!(test.storage.list_all_grants(subject).await.unwrap(), []);
    }
    for limit in [0, 1001] {
        assert!(test.storage.list_grants("alice", None, limit).await.is_err());
    }
}

/// The cost of a page depends on the rows it reads, not on the number of grants of the subject.
#[tokio::test]
async fn s18_the_first_page_is_quick_despite_dead_grants() {
    let test = TestStorage::new("s18_list").await;
    let (client_id, _) = test.client().await;
    let new = NewToken::new(&client_id, scope(), pair()).with_subject("oldest");
    test.storage.create_token(&RequestContext::default(), new).await.unwrap();
    test.sql(&store_grants(60_000, &format!("'{client_id}'"), "'user-' || n % 2")).await;
    test.sql(
        "UPDATE oauth_storage.authorization_grant SET revoked_at = now()
         WHERE subject = 'user-1' OR subject = 'oldest'",
    )
    .await;
    test.sql("VACUUM ANALYZE oauth_storage.authorization_grant").await;
    for (subject, found) in [("user-0", 20), ("user-1", 0), ("oldest", 0)] {
        let mut took = Vec::new();
        for _ in 0..9 {
            let started = Instant::now();
            let page = test.storage.list_grants(subject, None, 20).await.unwrap();
            took.push(started.elapsed());
            assert_eq!(page.grants.len(), found);
        }
        took.sort_unstable();
        // 2 ms on an idle machine, which the benchmark requires.
        assert!(took[4] < Duration::from_millis(20), "{subject}: {took:?}");
    }
}
