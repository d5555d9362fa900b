//! Erasing subjects.

use std::time::Duration;

use uuid::Uuid;

use super::context::{ACTIVE, Context, joined, joining, new_token, refused, request, subject};
use super::flow::{authorized, granted, redeem, rotate, rotation, strict};
use super::grant_revocation::{Grants, rotate_until_refused};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::RotationOutcome;
use oauth_storage::token::TokenRef;
use oauth_storage::{RedemptionOutcome, RequestContext};

rules!("grant" {
    erased_subject_is_not_found: "S22, contract 2, erase: no token, code or grant of the subject is found",
    erasing_counts_grants: "contract 2, erase: how many grants, revoked ones included",
    erased_subject_issues_nothing: "S22, contract 2, erase: no credential of before is exchanged or joined",
    erased_subject_may_return: "contract 2, erase: the subject may authorize again, and has nothing of before",
    erasure_beats_rotation: "S22, contract 2, erase: nothing is found after it returns, even with concurrent calls",
});

async fn erased_subject_is_not_found(cx: Context) {
    let grants = Grants::new(&cx).await;
    let own = cx.pair(&RequestContext::default(), &grants.clients[0]).await;
    cx.storage.erase_subject(grants.subject(0)).await.expect("erase_subject");
    for (client, user, pair) in &grants.pairs {
        let states = cx.states(&grants.clients[*client], pair).await;
        let grant = cx.grant(pair.grant_id()).await;
        if *user == 0 {
            assert_eq!(states, [None; 2], "no token of the subject is found");
            assert_eq!(grant, None, "no grant of the subject is found");
            assert!(!cx.is_active(&pair.access).await && !cx.is_active(&pair.refresh).await);
        } else {
            assert_eq!(states, [ACTIVE; 2], "another subject's stay");
            assert!(grant.is_some());
        }
    }
    for (client, user, redemption) in &grants.codes {
        let found = cx.get_code(&grants.clients[*client], &redemption.code).await;
        assert_eq!(found.is_none(), *user == 0, "no code of the subject is found");
    }
    let page = cx.storage.list_grants(grants.subject(0), None, 10).await.expect("list_grants");
    assert_eq!((page.grants.len(), page.next), (0, None));
    assert_eq!(cx.states(&grants.clients[0], &own).await, [ACTIVE; 2], "the client's own stays");
}

async fn erasing_counts_grants(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let erase = async || cx.storage.erase_subject(subject(&user)).await.expect("erase_subject");
    assert_eq!(erase().await, 0, "a subject without grants");
    let (live, _) = granted(&cx, &user, &client).await;
    cx.sibling(&user, &live).await;
    let (revoked, _) = granted(&cx, &user, &client).await;
    assert!(cx.storage.revoke_grant(revoked.grant_id()).await.expect("revoke_grant"));
    authorized(&cx, &user, &client).await;
    assert_eq!(erase().await, 3, "a live grant, a revoked one, and one of a code");
    assert_eq!(erase().await, 0, "for the second time");
    assert_eq!(cx.grant(revoked.grant_id()).await, None, "a revoked grant is erased as well");
}

async fn erased_subject_issues_nothing(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, used) = granted(&cx, &user, &client).await;
    let unused = authorized(&cx, &user, &client).await;
    cx.storage.erase_subject(subject(&user)).await.expect("erase_subject");
    assert_eq!(rotate(&cx, &strict(), &rotation(&pair)).await, RotationOutcome::Invalid);
    for redemption in [&unused, &used] {
        assert_eq!(redeem(&cx, redemption).await, RedemptionOutcome::Invalid);
    }
    let result = cx.storage.create_token(&user, joining(&pair.token)).await;
    refused(result, "grant_id", InvalidReason::Unknown, "joining an erased grant");
    let storage = &cx.storage;
    assert!(!storage.revoke_grant(pair.grant_id()).await.expect("revoke_grant"));
    let revoked = storage.revoke_grant_of(subject(&user), pair.grant_id()).await;
    assert!(!revoked.expect("revoke_grant_of"));
    assert_eq!(storage.revoke_subject(subject(&user)).await.expect("revoke_subject"), 0);
    cx.revoke(&client, TokenRef::Refresh(&pair.refresh)).await;
    cx.delete_code(&client, &unused.code).await;
    assert_eq!(cx.states(&client, &pair).await, [None; 2]);
}

async fn erased_subject_may_return(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (before, _) = granted(&cx, &user, &client).await;
    assert_eq!(cx.storage.erase_subject(subject(&user)).await.expect("erase_subject"), 1);
    let (after, _) = granted(&cx, &user, &client).await;
    let created = cx.pair_of(&user, new_token(&client)).await;
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    let listed: Vec<Uuid> = page.grants.iter().map(|grant| grant.grant_id).collect();
    assert_eq!(listed, [created.grant_id(), after.grant_id()], "only what began afterwards");
    assert_eq!(cx.states(&client, &after).await, [ACTIVE; 2]);
    assert_eq!(cx.states(&client, &before).await, [None; 2]);
}

async fn erasure_beats_rotation(cx: Context) {
    for round in 0..12 {
        let client = cx.client().await;
        let user = request();
        let (pair, _) = granted(&cx, &user, &client).await;
        let rotating = tokio::spawn(rotate_until_refused(cx.clone(), pair));
        tokio::time::sleep(Duration::from_micros(round * 300)).await;
        let erased = cx.storage.erase_subject(subject(&user)).await.expect("erase_subject");
        assert_eq!(erased, 1, "one grant, however many tokens");
        for pair in joined(rotating.await) {
            assert_eq!(cx.states(&client, &pair).await, [None; 2], "whenever it was issued");
            assert_eq!(cx.grant(pair.grant_id()).await, None);
        }
    }
}
