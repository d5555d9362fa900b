//! Consent.

use super::cases::bad_subjects;
use super::context::{
    ACTIVE, Context, REVOKED, largest_scope, refused, request, strange_client_ids, subject,
    together, unique,
};
use super::flow::granted;
use oauth_storage::consent::Consent;
use oauth_storage::error::InvalidReason;
use oauth_storage::{NewClient, Scope};

rules!("consent" {
    is_remembered: "OIDC Core 3.1.2.4: what a subject allowed a client, and no other pair",
    grows: "contract 3, consent: more is added, in the order in which it was allowed, once",
    outlives_its_grants: "contract 3, consent: a client that revokes its tokens loses no consent",
    is_listed: "contract 3, consent: by subject, in pages, in the order of the clients",
    is_withdrawn_with_its_grants: "contract 3, consent: every grant of the pair, and of no other",
    leaves_with_its_subject: "S22: erasing a subject deletes its consents",
    leaves_with_its_client: "S19: deleting a client deletes its consents, and a new one of its name has none",
    needs_an_enabled_client: "S20: nothing is stored for a client that is unknown or disabled",
    additions_add_up: "contract 3, exactly once: of 64 additions at once none is lost",
    one_withdrawal_wins: "contract 3, exactly once: of 64 withdrawals at once one finds the consent",
    is_bounded: "contract 3, bad input: a scope of at most 100 tokens in sum",
    names_are_checked: "contract 3, bad input: by field",
});

fn scope(text: &str) -> Scope {
    text.parse().expect("a scope")
}

async fn add(cx: &Context, subject: &str, client: &str, text: &str) -> Consent {
    cx.storage.add_consent(subject, client, &scope(text)).await.expect("add_consent")
}

async fn get(cx: &Context, subject: &str, client: &str) -> Option<Consent> {
    cx.storage.get_consent(subject, client).await.expect("get_consent")
}

async fn is_remembered(cx: Context) {
    let (client, other, alice, bob) = (cx.client().await, cx.client().await, unique(), unique());
    assert_eq!(get(&cx, &alice, &client).await, None);
    let consent = add(&cx, &alice, &client, "openid email").await;
    assert_eq!((&consent.subject, &consent.client_id), (&alice, &client));
    assert_eq!((&consent.scope, consent.granted_at), (&scope("openid email"), consent.updated_at));
    assert_eq!(get(&cx, &alice, &client).await, Some(consent.clone()));
    assert_eq!(get(&cx, &bob, &client).await, None);
    assert_eq!(get(&cx, &alice, &other).await, None);
    for (asked, covered) in
        [("openid", true), ("email openid", true), ("", true), ("openid phone", false)]
    {
        assert_eq!(consent.covers(&scope(asked)), covered, "{asked}");
    }
}

async fn grows(cx: Context) {
    let (client, alice) = (cx.client().await, unique());
    let first = add(&cx, &alice, &client, "z openid").await;
    let second = add(&cx, &alice, &client, "openid a z b").await;
    assert_eq!(second.scope, scope("z openid a b"));
    assert_eq!(second.granted_at, first.granted_at);
    assert!(second.updated_at >= first.updated_at);
    assert_eq!(add(&cx, &alice, &client, "").await.scope, second.scope);
    let other = cx.client().await;
    assert_eq!(add(&cx, &alice, &other, "").await.scope, Scope::default());
    assert_eq!(add(&cx, &alice, &other, "x").await.scope, scope("x"));
}

async fn outlives_its_grants(cx: Context) {
    let (client, user) = (cx.client().await, request());
    let consent = add(&cx, subject(&user), &client, "openid").await;
    let (pair, _) = granted(&cx, &user, &client).await;
    cx.revoke(&client, oauth_storage::TokenRef::Any(&pair.refresh)).await;
    cx.storage.revoke_subject(subject(&user)).await.expect("revoke_subject");
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
    assert_eq!(get(&cx, subject(&user), &client).await, Some(consent));
}

async fn is_listed(cx: Context) {
    let alice = unique();
    let mut clients = Vec::new();
    for n in 0..5 {
        let client = cx.client().await;
        add(&cx, &alice, &client, &format!("scope{n}")).await;
        add(&cx, &unique(), &client, "other").await;
        clients.push(client);
    }
    clients.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = cx.storage.list_consents(&alice, after.as_deref(), 2).await;
        let page = page.expect("list_consents");
        let Some(last) = page.last() else { break };
        after = Some(last.client_id.clone());
        assert!(page.len() <= 2 && page.iter().all(|consent| consent.subject == alice));
        listed.extend(page.into_iter().map(|consent| consent.client_id));
    }
    assert_eq!(listed, clients);
    for limit in [0, 1_001] {
        let result = cx.storage.list_consents(&alice, None, limit).await;
        refused(result, "limit", InvalidReason::OutOfRange, "list_consents");
    }
    let result = cx.storage.list_consents(&alice, Some(""), 1).await;
    refused(result, "client_id", InvalidReason::Empty, "list_consents");
    assert_eq!(cx.storage.list_consents(&unique(), None, 10).await.expect("list"), []);
}

async fn is_withdrawn_with_its_grants(cx: Context) {
    let (client, other, user) = (cx.client().await, cx.client().await, request());
    let alice = subject(&user);
    add(&cx, alice, &client, "openid").await;
    let kept = add(&cx, alice, &other, "openid").await;
    let (first, _) = granted(&cx, &user, &client).await;
    let (second, _) = granted(&cx, &user, &client).await;
    let (beside, _) = granted(&cx, &user, &other).await;
    let (bobs, _) = granted(&cx, &request(), &client).await;
    let outcome = cx.storage.withdraw_consent(alice, &client).await.expect("withdraw_consent");
    assert_eq!((outcome.withdrawn, outcome.revoked_grants), (true, 2));
    assert_eq!(get(&cx, alice, &client).await, None);
    for pair in [&first, &second] {
        assert_eq!(cx.states(&client, pair).await, [REVOKED; 2]);
    }
    assert_eq!(cx.states(&other, &beside).await, [ACTIVE; 2]);
    assert_eq!(cx.states(&client, &bobs).await, [ACTIVE; 2]);
    assert_eq!(get(&cx, alice, &other).await, Some(kept));
    let outcome = cx.storage.withdraw_consent(alice, &client).await.expect("withdraw_consent");
    assert_eq!((outcome.withdrawn, outcome.revoked_grants), (false, 0));
    // A grant without a consent is revoked as well.
    granted(&cx, &user, &client).await;
    let outcome = cx.storage.withdraw_consent(alice, &client).await.expect("withdraw_consent");
    assert_eq!((outcome.withdrawn, outcome.revoked_grants), (false, 1));
}

async fn leaves_with_its_subject(cx: Context) {
    let (client, alice, bob) = (cx.client().await, unique(), unique());
    add(&cx, &alice, &client, "openid").await;
    let kept = add(&cx, &bob, &client, "openid").await;
    cx.storage.erase_subject(&alice).await.expect("erase_subject");
    assert_eq!(get(&cx, &alice, &client).await, None);
    assert_eq!(get(&cx, &bob, &client).await, Some(kept));
}

async fn leaves_with_its_client(cx: Context) {
    let (client, other, alice) = (cx.client().await, cx.client().await, unique());
    add(&cx, &alice, &client, "openid").await;
    let kept = add(&cx, &alice, &other, "openid").await;
    assert!(cx.storage.delete_client(&client).await.expect("delete_client"));
    let new = NewClient::new(super::context::metadata()).with_client_id(client.clone());
    cx.register(new).await;
    assert_eq!(get(&cx, &alice, &client).await, None);
    assert_eq!(get(&cx, &alice, &other).await, Some(kept));
}

async fn needs_an_enabled_client(cx: Context) {
    let (client, alice) = (cx.client().await, unique());
    let kept = add(&cx, &alice, &client, "openid").await;
    cx.set_disabled(&client, true).await;
    for client in [&client, &unique()] {
        let result = cx.storage.add_consent(&alice, client, &scope("more")).await;
        refused(result, "client_id", InvalidReason::Unknown, "add_consent");
    }
    assert_eq!(get(&cx, &alice, &client).await, Some(kept));
}

async fn additions_add_up(cx: Context) {
    let (client, alice) = (cx.client().await, unique());
    let added = together(64, |n| {
        let (cx, client, alice) = (cx.clone(), client.clone(), alice.clone());
        async move { add(&cx, &alice, &client, &format!("s{n}")).await }
    });
    let granted_at = added.await.iter().map(|consent| consent.granted_at).min();
    let consent = get(&cx, &alice, &client).await.expect("added");
    assert_eq!(consent.scope.iter().count(), 64);
    assert_eq!(Some(consent.granted_at), granted_at);
}

async fn one_withdrawal_wins(cx: Context) {
    let (client, alice) = (cx.client().await, unique());
    add(&cx, &alice, &client, "openid").await;
    let withdrawn = together(64, |_| {
        let (cx, client, alice) = (cx.clone(), client.clone(), alice.clone());
        async move { cx.storage.withdraw_consent(&alice, &client).await.expect("withdraw") }
    });
    assert_eq!(withdrawn.await.iter().filter(|outcome| outcome.withdrawn).count(), 1);
}

async fn is_bounded(cx: Context) {
    let (client, alice) = (cx.client().await, unique());
    let largest = largest_scope();
    let added = cx.storage.add_consent(&alice, &client, &largest).await.expect("add_consent");
    assert_eq!(added.scope, largest);
    let again = cx.storage.add_consent(&alice, &client, &largest).await.expect("add_consent");
    assert_eq!(again.scope, largest, "the same once more");
    let result = cx.storage.add_consent(&alice, &client, &scope("more")).await;
    refused(result, "scope", InvalidReason::TooMany(0), "add_consent");
    assert_eq!(get(&cx, &alice, &client).await, Some(again), "nothing has changed");
}

async fn names_are_checked(cx: Context) {
    let client = cx.client().await;
    let openid = scope("openid");
    for (subject, reason) in bad_subjects() {
        let result = cx.storage.add_consent(&subject, &client, &openid).await;
        refused(result, "subject", reason, "add_consent");
        assert_eq!(get(&cx, &subject, &client).await, None);
        let outcome = cx.storage.withdraw_consent(&subject, &client).await.expect("withdraw");
        assert_eq!((outcome.withdrawn, outcome.revoked_grants), (false, 0));
        assert_eq!(cx.storage.list_consents(&subject, None, 1).await.expect("list"), []);
    }
    for client in strange_client_ids() {
        assert_eq!(get(&cx, "alice", &client).await, None);
        assert!(cx.storage.add_consent("alice", &client, &openid).await.is_err());
        let outcome = cx.storage.withdraw_consent("alice", &client).await.expect("withdraw");
        assert_eq!((outcome.withdrawn, outcome.revoked_grants), (false, 0));
    }
}
