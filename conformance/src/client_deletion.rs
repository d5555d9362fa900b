//! Deleting clients, and registering their identifiers again.

use super::context::{
    ACTIVE, Context, joining, metadata, new_code, new_token, refused, request, secret, subject,
};
use super::flow::{authorized, granted, issued, next_pair, redeem, rotate, rotation, strict};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::RotationOutcome;
use oauth_storage::token::TokenRef;
use oauth_storage::{NewClient, RedemptionOutcome};

rules!("client" {
    deleted_is_gone: "contract 2, delete: the client with every token, code and grant of it",
    deleted_issues_nothing: "S19: no credential of a deleted client is exchanged or joined",
    new_registration_inherits_nothing: "S19, RFC 7592 2.3: an identifier that is registered again has nothing of before",
    new_registration_loses_nothing: "S19: credentials of before touch nothing of a new registration",
});

async fn deleted_is_gone(cx: Context) {
    let (id, secret) = cx.client_and_secret().await;
    let other = cx.client().await;
    let request = request();
    let (pair, others) = (cx.pair(&request, &id).await, cx.pair(&request, &other).await);
    let ((code, stored), (others_code, _)) =
        (cx.code(&request, &id).await, cx.code(&request, &other).await);
    assert!(cx.storage.delete_client(&id).await.expect("delete"), "true for a known client");
    assert_eq!(cx.read_client(&id).await, None);
    assert_eq!(cx.get_client(&id, Some(&secret)).await, None);
    assert_eq!(cx.states(&id, &pair).await, [None; 2], "its tokens are gone");
    assert!(!cx.is_active(&pair.access).await && !cx.is_active(&pair.refresh).await);
    assert_eq!(cx.get_code(&id, &code).await, None, "its codes are gone");
    for grant_id in [pair.grant_id(), stored.grant_id] {
        assert_eq!(cx.grant(grant_id).await, None, "its grants are gone");
    }
    assert_eq!(cx.states(&other, &others).await, [ACTIVE; 2], "others stay");
    assert!(cx.get_code(&other, &others_code).await.is_some(), "others stay");
    let again = cx.storage.delete_client(&id).await.expect("delete");
    assert!(!again, "false for a client that is gone");
}

async fn deleted_issues_nothing(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, used) = granted(&cx, &user, &client).await;
    let unused = authorized(&cx, &user, &client).await;
    assert!(cx.storage.delete_client(&client).await.expect("delete"));
    for redemption in [&unused, &used] {
        assert_eq!(redeem(&cx, redemption).await, RedemptionOutcome::Invalid);
    }
    assert_eq!(rotate(&cx, &strict(), &rotation(&pair)).await, RotationOutcome::Invalid);
    let result = cx.storage.create_token(&user, joining(&pair.token)).await;
    refused(result, "grant_id", InvalidReason::Unknown, "a token of a deleted client's grant");
    let result = cx.storage.create_token(&user, new_token(&client)).await;
    refused(result, "client_id", InvalidReason::Unknown, "a token for a client that is gone");
    let result = cx.storage.create_authorization_code(&user, new_code(&client, &secret())).await;
    refused(result, "client_id", InvalidReason::Unknown, "a code for a client that is gone");
    assert!(!cx.storage.set_client_disabled(&client, false).await.expect("enable"));
    let rotated = cx.storage.rotate_client_secret(&client, Default::default()).await;
    assert!(rotated.expect("not found").is_none());
    let updated = cx.storage.update_client(&client, metadata()).await;
    assert_eq!(updated.expect("not found"), None);
}

async fn new_registration_inherits_nothing(cx: Context) {
    let (id, secret_before) = cx.client_and_secret().await;
    let user = request();
    let (pair, used) = granted(&cx, &user, &id).await;
    let unused = authorized(&cx, &user, &id).await;
    assert!(cx.storage.delete_client(&id).await.expect("delete"));
    let new = NewClient::new(metadata()).with_client_id(&id);
    let secret_now = cx.register(new).await.client_secret.expect("a secret");
    assert_eq!(cx.get_client(&id, Some(&secret_before)).await, None, "the old secret is gone");
    assert!(cx.get_client(&id, Some(&secret_now)).await.is_some());
    assert_eq!(cx.states(&id, &pair).await, [None; 2], "the old tokens do not come back");
    assert!(!cx.is_active(&pair.access).await && !cx.is_active(&pair.refresh).await);
    assert_eq!(cx.get_code(&id, &unused.code).await, None, "the old codes do not come back");
    for redemption in [&unused, &used] {
        assert_eq!(redeem(&cx, redemption).await, RedemptionOutcome::Invalid);
    }
    assert_eq!(rotate(&cx, &strict(), &rotation(&pair)).await, RotationOutcome::Invalid);
    let result = cx.storage.create_token(&user, joining(&pair.token)).await;
    refused(result, "grant_id", InvalidReason::Unknown, "a token of an old grant");
    assert_eq!(cx.grant(pair.grant_id()).await, None);
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    assert_eq!(page.grants, [], "the old grants do not come back");
    assert_eq!(cx.storage.revoke_client(&id).await.expect("revoke_client"), 0);
}

async fn new_registration_loses_nothing(cx: Context) {
    let id = cx.client().await;
    let user = request();
    let (before, used) = granted(&cx, &user, &id).await;
    let unused = authorized(&cx, &user, &id).await;
    assert!(cx.storage.delete_client(&id).await.expect("delete"));
    cx.register(NewClient::new(metadata()).with_client_id(&id)).await;
    let (pair, _) = granted(&cx, &user, &id).await;
    let redemption = authorized(&cx, &user, &id).await;
    // Credentials of the former registration are still presented.
    cx.revoke(&id, TokenRef::Any(&before.access)).await;
    cx.revoke(&id, TokenRef::Any(&before.refresh)).await;
    cx.delete_code(&id, &unused.code).await;
    assert_eq!(rotate(&cx, &strict(), &rotation(&before)).await, RotationOutcome::Invalid);
    assert_eq!(redeem(&cx, &used).await, RedemptionOutcome::Invalid);
    assert!(!cx.storage.revoke_grant(before.grant_id()).await.expect("revoke_grant"));
    assert_eq!(cx.states(&id, &pair).await, [ACTIVE; 2]);
    issued(redeem(&cx, &redemption).await);
    next_pair(&cx, &strict(), &pair).await;
}
