//! Short-lived records: replay identifiers, pushed requests, pending requests.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cases::object;
use super::context::{Context, SHORT, outlast, refused, secret, together, unique};
use oauth_storage::Secret;
use oauth_storage::error::InvalidReason;
use oauth_storage::pending_request::NewPendingRequest;
use oauth_storage::pushed_request::NewPushedRequest;
use oauth_storage::replay::{Claim, ClaimOutcome};

rules!("record" {
    claims_once: "RFC 7523 3, RFC 9449 11.1: an identifier is first once, and seen after that",
    namespaces_are_apart: "RFC 7523 3: identifiers are unique by issuer",
    one_claim_wins: "contract 3, exactly once: of 64 claims of one identifier at once one is first",
    claim_ends: "RFC 9449 11.1: after its lifetime an identifier is first again",
    claim_is_checked: "contract 3, bad input: by field",
    pushed_is_taken_once: "RFC 9126 2.2, 7.3: by its client, once, unchanged",
    one_take_wins: "contract 3, exactly once: of 64 that take one pushed request one gets it",
    pushed_expires: "RFC 9126 2.2: a reference expires",
    pushed_is_checked: "contract 3, bad input: by field",
    pending_waits: "contract 3, a pending request is found on any node until it is resumed, once",
    pending_changes_once: "contract 3, only from the version that was seen: of 64 changes at once one succeeds",
    one_resume_wins: "contract 3, exactly once: of 64 that resume one request one gets it",
    pending_expires: "contract 3, a pending request expires, and a change does not move that",
    pending_is_checked: "contract 3, bad input: by field; an identifier that exists is a duplicate",
    kinds_are_apart: "contract 3, an identifier of one kind is not found as another",
});

pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// The shortest lifetime of a pushed request.
pub(super) const SECOND: Duration = Duration::from_secs(1);

async fn claim(
    cx: &Context,
    namespace: &str,
    identifier: &str,
    lifetime: Duration,
) -> ClaimOutcome {
    cx.storage.claim(Claim::new(namespace, identifier, lifetime)).await.expect("claim")
}

fn parameters() -> Map<String, Value> {
    object(json!({
        "scope": "openid profile",
        "state": "ünï 🦀 ' \" \\ %_ {} , NULL",
        "claims": { "userinfo": { "email": null } },
        "max_age": 0,
    }))
}

pub(super) async fn push(cx: &Context, client: &str, lifetime: Duration) -> String {
    let new = NewPushedRequest::new(client, parameters()).with_expires_in(lifetime);
    let pushed = cx.storage.push_request(new).await.expect("push_request");
    assert_eq!(pushed.expires_in, lifetime);
    pushed.request_uri
}

pub(super) async fn take(cx: &Context, client: &str, uri: &str) -> Option<Map<String, Value>> {
    cx.storage.take_pushed_request(client, uri).await.expect("take_pushed_request")
}

async fn suspend(cx: &Context, lifetime: Duration) -> Secret {
    let new = NewPendingRequest::new(parameters(), lifetime).expect("randomness");
    let id = new.id.clone();
    cx.storage.suspend_request(new).await.expect("suspend_request");
    id
}

async fn claims_once(cx: Context) {
    let (namespace, identifier) = (unique(), unique());
    assert_eq!(claim(&cx, &namespace, &identifier, MINUTE).await, ClaimOutcome::First);
    for _ in 0..3 {
        assert_eq!(claim(&cx, &namespace, &identifier, MINUTE).await, ClaimOutcome::Seen);
    }
}

async fn namespaces_are_apart(cx: Context) {
    let (namespace, identifier) = (unique(), unique());
    for namespace in [format!("{namespace}a"), format!("{namespace}b")] {
        assert_eq!(claim(&cx, &namespace, &identifier, MINUTE).await, ClaimOutcome::First);
    }
    // The border between the two is part of the identifier.
    let shifted = format!("{namespace}a{identifier}");
    let (head, tail) = shifted.split_at(namespace.len());
    assert_eq!(claim(&cx, head, tail, MINUTE).await, ClaimOutcome::First);
}

async fn one_claim_wins(cx: Context) {
    for _ in 0..5 {
        let (namespace, identifier) = (unique(), unique());
        let outcomes = together(64, |_| {
            let (cx, namespace, identifier) = (cx.clone(), namespace.clone(), identifier.clone());
            async move { claim(&cx, &namespace, &identifier, MINUTE).await }
        });
        let first = outcomes.await.iter().filter(|o| **o == ClaimOutcome::First).count();
        assert_eq!(first, 1);
    }
}

async fn claim_ends(cx: Context) {
    let (namespace, identifier) = (unique(), unique());
    assert_eq!(claim(&cx, &namespace, &identifier, SHORT).await, ClaimOutcome::First);
    outlast().await;
    assert_eq!(claim(&cx, &namespace, &identifier, MINUTE).await, ClaimOutcome::First);
    assert_eq!(claim(&cx, &namespace, &identifier, MINUTE).await, ClaimOutcome::Seen);
}

async fn claim_is_checked(cx: Context) {
    let long = "x".repeat(5_000);
    for (new, field, reason) in [
        (Claim::new("", "x", MINUTE), "namespace", InvalidReason::Empty),
        (Claim::new("x", "", MINUTE), "identifier", InvalidReason::Empty),
        (Claim::new("x", &long, MINUTE), "identifier", InvalidReason::TooLong(0)),
        (Claim::new("x", "a\0b", MINUTE), "identifier", InvalidReason::Character),
        (Claim::new("x", "y", Duration::ZERO), "expires_in", InvalidReason::OutOfRange),
        (Claim::new("x", "y", Duration::MAX), "expires_in", InvalidReason::OutOfRange),
    ] {
        refused(cx.storage.claim(new).await, field, reason, "a claim");
    }
}

async fn pushed_is_taken_once(cx: Context) {
    let (client, other) = (unique(), unique());
    let uri = push(&cx, &client, MINUTE).await;
    assert!(uri.len() > "urn:ietf:params:oauth:request_uri:".len() + 40, "{uri}");
    assert_ne!(uri, push(&cx, &client, MINUTE).await);
    assert_eq!(take(&cx, &other, &uri).await, None, "of another client");
    assert_eq!(take(&cx, &client, &format!("{uri}x")).await, None);
    assert_eq!(take(&cx, &client, "").await, None);
    for strange in ["", "a\0", "ü", &"x".repeat(5_000)] {
        assert_eq!(take(&cx, strange, &uri).await, None, "{strange:?}");
    }
    assert_eq!(take(&cx, &client, &uri).await, Some(parameters()));
    assert_eq!(take(&cx, &client, &uri).await, None);
}

async fn one_take_wins(cx: Context) {
    let client = unique();
    let uri = push(&cx, &client, MINUTE).await;
    let taken = together(64, |_| {
        let (cx, client, uri) = (cx.clone(), client.clone(), uri.clone());
        async move { take(&cx, &client, &uri).await }
    });
    assert_eq!(taken.await.into_iter().flatten().collect::<Vec<_>>(), [parameters()]);
}

async fn pushed_expires(cx: Context) {
    let client = unique();
    let uri = push(&cx, &client, SECOND).await;
    tokio::time::sleep(SECOND + SHORT).await;
    assert_eq!(take(&cx, &client, &uri).await, None);
}

async fn pushed_is_checked(cx: Context) {
    let new = || NewPushedRequest::new(unique(), parameters());
    let large = object(json!({ "state": "x".repeat(40_000) }));
    for (new, field, reason) in [
        (NewPushedRequest::new("", parameters()), "client_id", InvalidReason::Empty),
        (new().with_expires_in(SHORT), "expires_in", InvalidReason::OutOfRange),
        (
            NewPushedRequest::new(unique(), object(json!({ "client_secret": "x" }))),
            "parameters",
            InvalidReason::NotAllowed,
        ),
        (
            NewPushedRequest::new(unique(), object(json!({ "request_uri": "urn:x" }))),
            "parameters",
            InvalidReason::NotAllowed,
        ),
        (NewPushedRequest::new(unique(), large), "parameters", InvalidReason::TooLong(0)),
        (
            NewPushedRequest::new(unique(), object(json!({ "state": "a\0b" }))),
            "parameters",
            InvalidReason::Character,
        ),
    ] {
        refused(cx.storage.push_request(new).await, field, reason, "a pushed request");
    }
}

async fn pending_waits(cx: Context) {
    let id = suspend(&cx, MINUTE).await;
    let find = async |id: &Secret| cx.storage.find_pending_request(id).await.expect("find");
    for _ in 0..2 {
        let found = find(&id).await.expect("it waits");
        assert_eq!((found.value, found.version), (parameters(), 0));
    }
    assert_eq!(find(&secret()).await, None);
    let mut found = find(&id).await.expect("it waits");
    found.value.insert("subject".into(), "alice".into());
    let change = cx.storage.change_pending_request(&id, found.clone()).await;
    assert!(change.expect("change"), "from the version that was found");
    let changed = find(&id).await.expect("it waits");
    assert_eq!((&changed.value, changed.expires_at), (&found.value, found.expires_at));
    let resumed = cx.storage.resume_request(&id).await.expect("resume");
    assert_eq!(resumed, Some(changed.clone()));
    assert_eq!(find(&id).await, None);
    assert_eq!(cx.storage.resume_request(&id).await.expect("resume"), None);
    let change = cx.storage.change_pending_request(&id, changed).await;
    assert!(!change.expect("change"), "it is gone");
}

async fn pending_changes_once(cx: Context) {
    let id = suspend(&cx, MINUTE).await;
    let seen = cx.storage.find_pending_request(&id).await.expect("find").expect("it waits");
    let changes = together(64, |n| {
        let (cx, id, mut change) = (cx.clone(), id.clone(), seen.clone());
        change.value.insert("n".into(), n.into());
        async move { cx.storage.change_pending_request(&id, change).await.expect("change") }
    });
    let won: Vec<usize> =
        changes.await.into_iter().enumerate().filter(|(_, won)| *won).map(|(n, _)| n).collect();
    assert_eq!(won.len(), 1);
    let found = cx.storage.find_pending_request(&id).await.expect("find").expect("it waits");
    assert_eq!((&found.value["n"], found.version), (&json!(won[0]), 1));
}

async fn one_resume_wins(cx: Context) {
    let id = suspend(&cx, MINUTE).await;
    let resumed = together(64, |_| {
        let (cx, id) = (cx.clone(), id.clone());
        async move { cx.storage.resume_request(&id).await.expect("resume").is_some() }
    });
    assert_eq!(resumed.await.into_iter().filter(|won| *won).count(), 1);
}

async fn pending_expires(cx: Context) {
    let id = suspend(&cx, SHORT).await;
    let found = cx.storage.find_pending_request(&id).await.expect("find");
    if let Some(found) = found {
        // On a slow machine it may have expired by now.
        let _ = cx.storage.change_pending_request(&id, found).await.expect("change");
    }
    outlast().await;
    assert_eq!(cx.storage.find_pending_request(&id).await.expect("find"), None);
    assert_eq!(cx.storage.resume_request(&id).await.expect("resume"), None);
}

async fn pending_is_checked(cx: Context) {
    let new = || NewPendingRequest::new(parameters(), MINUTE).expect("randomness");
    let first = new();
    cx.storage.suspend_request(first.clone()).await.expect("suspend_request");
    let mut large = new();
    large.value = object(json!({ "x": "x".repeat(40_000) }));
    let (mut nameless, mut endless) = (new(), new());
    nameless.id = Secret::new("");
    endless.expires_in = Duration::MAX;
    for (new, field, reason) in [
        (first.clone(), "id", InvalidReason::Duplicate),
        (large.clone(), "value", InvalidReason::TooLong(0)),
        (nameless, "id", InvalidReason::Empty),
        (endless, "expires_in", InvalidReason::OutOfRange),
    ] {
        refused(cx.storage.suspend_request(new).await, field, reason, "a pending request");
    }
    let mut found =
        cx.storage.find_pending_request(&first.id).await.expect("find").expect("it waits");
    found.value = large.value;
    let change = cx.storage.change_pending_request(&first.id, found).await;
    refused(change, "value", InvalidReason::TooLong(0), "a change");
}

async fn kinds_are_apart(cx: Context) {
    let client = unique();
    let uri = push(&cx, &client, MINUTE).await;
    let as_id = Secret::new(uri.as_str());
    assert_eq!(cx.storage.find_pending_request(&as_id).await.expect("find"), None);
    assert_eq!(cx.storage.resume_request(&as_id).await.expect("resume"), None);
    let id = suspend(&cx, MINUTE).await;
    assert_eq!(take(&cx, &client, id.expose()).await, None);
    assert!(take(&cx, &client, &uri).await.is_some());
}
