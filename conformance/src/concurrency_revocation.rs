//! Revoking, disabling, deleting and erasing while other calls run.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::context::{
    ACTIVE, Context, Pair, REVOKED, foreign_secret, foreign_tokens, is_duplicate, joined, joining,
    metadata, new_code, new_token, request, subject, together,
};
use super::flow::{grace, granted, next_pair, redeem, rotate, rotation, strict};
use oauth_storage::backend::MAX_REFRESH_TOKEN_GRACE;
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::RotationOutcome;
use oauth_storage::token::TokenRef;
use oauth_storage::{Error, NewClient, RedemptionOutcome, RequestContext};

rules!("concurrency" {
    revocation_in_progress: "S9, contract 1: after revoke_token returns nothing of the grant is active again",
    joins_during_revocation: "S23, contract 2, revoke: a token that joins the grant meanwhile is dead",
    owner_revocation_during_exchanges: "contract 2, revoke: no grant that began before is active after it returns",
    revocations_at_once: "contract 2, revoke: of 16 revocations of one grant one counts it",
    disabling_in_progress: "S20: after set_client_disabled returns nothing is issued, so a revocation is complete",
    deletion_in_progress: "S19, contract 2, delete: after it returns no token, code or grant of the client is found",
    registration_during_deletion: "S19: an identifier is free only when nothing of it is left",
    deletions_at_once: "contract 2, delete: 8 deletions of one client at once all succeed",
    erasures_at_once: "contract 2, erase: 8 erasures of one subject count each grant once",
});

async fn revocation_in_progress(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let first = cx.pair(&request, &client).await;
    let mut pairs: Vec<Arc<Pair>> = Vec::new();
    for _ in 0..8 {
        pairs.push(Arc::new(cx.sibling(&request, &first).await));
    }
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = pairs
        .iter()
        .map(|pair| {
            let (cx, client, pair) = (cx.clone(), client.clone(), Arc::clone(pair));
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut revoked = [false; 2];
                loop {
                    let was_over = over.load(Ordering::SeqCst);
                    for (state, revoked) in cx.states(&client, &pair).await.iter().zip(&mut revoked)
                    {
                        assert!([ACTIVE, REVOKED].contains(state), "{state:?} during revocation");
                        assert!(!(*revoked && *state == ACTIVE), "revoked, and active again");
                        assert!(!(was_over && *state == ACTIVE), "active after revoke returned");
                        *revoked = *state == REVOKED;
                    }
                    if was_over {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let creations = {
        let (cx, client) = (cx.clone(), client.clone());
        tokio::spawn(async move {
            together(16, |_| {
                let (cx, client) = (cx.clone(), client.clone());
                async move { cx.pair(&self::request(), &client).await }
            })
            .await
        })
    };
    cx.revoke(&client, TokenRef::Any(&first.access)).await;
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        joined(reader.await);
    }
    for pair in joined(creations.await) {
        assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "another grant stays");
    }
}

async fn joins_during_revocation(cx: Context) {
    for round in 0..8 {
        let client = cx.client().await;
        let user = request();
        let first = cx.pair(&user, &client).await;
        let joins = {
            let (cx, user, first) = (cx.clone(), user.clone(), first.clone());
            tokio::spawn(together(32, move |_| {
                let (cx, user, first) = (cx.clone(), user.clone(), first.clone());
                async move { cx.sibling(&user, &first).await }
            }))
        };
        sleep(Duration::from_micros(round * 200)).await;
        match round % 2 {
            0 => cx.revoke(&client, TokenRef::Any(&first.refresh)).await,
            _ => assert!(cx.storage.revoke_grant(first.grant_id()).await.expect("revoke_grant")),
        }
        for pair in joined(joins.await) {
            assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2], "whenever it was stored");
            assert!(!cx.is_active(&pair.access).await);
        }
    }
}

/// Issues in every way until `stop` is set: rotations of a first pair, redemptions, new grants and
/// tokens that join a grant. Returns the issued pairs.
async fn issue_until(
    cx: Context,
    client: String,
    user: RequestContext,
    first: Pair,
    stop: Arc<AtomicBool>,
) -> Vec<Pair> {
    let lenient = grace(MAX_REFRESH_TOKEN_GRACE);
    let mut issued = vec![first.clone()];
    let mut pair = first.clone();
    let mut rounds = 0;
    // A few rounds more, so that calls certainly begin after the end of the other operation.
    while rounds < 3 {
        rounds += u32::from(stop.load(Ordering::SeqCst));
        if let RotationOutcome::Issued(next) = rotate(&cx, &lenient, &rotation(&pair)).await {
            pair = Pair::new(next.token, next.tokens);
            issued.push(pair.clone());
        }
        let new = joining(&first.token);
        let tokens = new.tokens.clone();
        match cx.storage.create_token(&user, new).await {
            Ok(token) => issued.push(Pair::new(token, tokens)),
            Err(error) => unknown(error, &["grant_id"]),
        }
        let new = new_token(&client);
        let tokens = new.tokens.clone();
        match cx.storage.create_token(&user, new).await {
            Ok(token) => issued.push(Pair::new(token, tokens)),
            Err(error) => unknown(error, &["client_id"]),
        }
        let code = foreign_secret();
        let new = new_code(&client, &code);
        match cx.storage.create_authorization_code(&user, new).await {
            Ok(_) => {
                let uri = super::context::REDIRECT_URI;
                let redemption = oauth_storage::CodeRedemption::new(&client, uri, code);
                let redemption = redemption.with_tokens(foreign_tokens());
                if let RedemptionOutcome::Issued(tokens) = redeem(&cx, &redemption).await {
                    issued.push(Pair::new(tokens.token, tokens.tokens));
                }
            }
            Err(error) => unknown(error, &["client_id"]),
        }
        tokio::task::yield_now().await;
    }
    issued
}

#[track_caller]
fn unknown(error: Error, fields: &[&str]) {
    let expected = matches!(
        error,
        Error::Invalid { field, reason: InvalidReason::Unknown } if fields.contains(&field)
    );
    assert!(expected, "stored, or Unknown of {fields:?}: {error:?}");
}

/// Issues with eight tasks while another operation runs. Returns the issued pairs, in order for each
/// task, and the result of the operation.
async fn issue_during<T>(
    cx: &Context,
    client: &str,
    user: &RequestContext,
    other: impl Future<Output = T>,
) -> (Vec<Pair>, T) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (first, _) = granted(cx, user, client).await;
        let (cx, client, user) = (cx.clone(), client.to_owned(), user.clone());
        tasks.push(tokio::spawn(issue_until(cx, client, user, first, Arc::clone(&stop))));
    }
    sleep(Duration::from_millis(5)).await;
    let result = other.await;
    stop.store(true, Ordering::SeqCst);
    let mut issued = Vec::new();
    for task in tasks {
        issued.extend(joined(task.await));
    }
    (issued, result)
}

async fn owner_revocation_during_exchanges(cx: Context) {
    for round in 0..6 {
        let client = cx.client().await;
        let user = request();
        let revoke = async {
            // Grants that exist before the call begins.
            let page = cx.storage.list_grants(subject(&user), None, 1000).await;
            let before: HashSet<Uuid> =
                page.expect("list_grants").grants.iter().map(|grant| grant.grant_id).collect();
            let revoked = match round % 3 {
                0 => cx.storage.revoke_subject(subject(&user)).await,
                1 => cx.storage.revoke_grants_of(subject(&user), &client).await,
                _ => cx.storage.revoke_client(&client).await,
            };
            assert!(revoked.expect("revoke") >= before.len() as u64);
            before
        };
        let (issued, before) = issue_during(&cx, &client, &user, revoke).await;
        assert!(before.len() >= 8);
        for pair in issued.iter().filter(|pair| before.contains(&pair.grant_id())) {
            assert_eq!(cx.states(&client, pair).await, [REVOKED; 2], "whenever it was issued");
        }
    }
}

async fn revocations_at_once(cx: Context) {
    let client = cx.client().await;
    for _ in 0..4 {
        let user = request();
        let (pair, _) = granted(&cx, &user, &client).await;
        let counts = together(16, |n| {
            let (cx, user, client) = (cx.clone(), user.clone(), client.clone());
            let (id, refresh) = (pair.grant_id(), pair.refresh.clone());
            async move {
                let storage = &cx.storage;
                let counted = match n % 4 {
                    0 => storage.revoke_grant(id).await.map(u64::from),
                    1 => storage.revoke_grant_of(subject(&user), id).await.map(u64::from),
                    2 => storage.revoke_subject(subject(&user)).await,
                    _ => storage.revoke_grants_of(subject(&user), &client).await,
                };
                assert!(!cx.is_active(&refresh).await, "each returns after the end of the grant");
                counted.expect("revoke")
            }
        });
        assert_eq!(counts.await.iter().sum::<u64>(), 1, "one of 16 counts the grant");
    }
}

async fn disabling_in_progress(cx: Context) {
    for _ in 0..6 {
        let client = cx.client().await;
        let user = request();
        let disable = async {
            cx.set_disabled(&client, true).await;
            cx.storage.revoke_client(&client).await.expect("revoke_client")
        };
        let (issued, revoked) = issue_during(&cx, &client, &user, disable).await;
        assert!(revoked >= 8);
        for pair in issued {
            assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2], "nothing came after it");
        }
        let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
        assert_eq!(page.grants, [], "nothing came after it");
    }
}

async fn deletion_in_progress(cx: Context) {
    for _ in 0..6 {
        let client = cx.client().await;
        let user = request();
        let delete = async { cx.storage.delete_client(&client).await.expect("delete_client") };
        let (issued, deleted) = issue_during(&cx, &client, &user, delete).await;
        assert!(deleted, "true for a known client");
        for pair in issued {
            assert_eq!(cx.states(&client, &pair).await, [None; 2], "nothing is left of it");
            assert_eq!(cx.grant(pair.grant_id()).await, None, "nothing is left of it");
            assert!(!cx.is_active(&pair.access).await && !cx.is_active(&pair.refresh).await);
        }
        let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
        assert_eq!(page.grants, [], "nothing is left of it");
    }
}

async fn registration_during_deletion(cx: Context) {
    for _ in 0..6 {
        let client = cx.client().await;
        let user = request();
        let mut before = Vec::new();
        for _ in 0..20 {
            before.push(granted(&cx, &user, &client).await.0);
        }
        let deleting = {
            let (cx, client) = (cx.clone(), client.clone());
            tokio::spawn(async move { cx.storage.delete_client(&client).await })
        };
        let mut tries = 0;
        loop {
            let new = NewClient::new(metadata()).with_client_id(&client);
            match cx.storage.register_client(new).await {
                Ok(_) => break,
                error => assert!(is_duplicate(&error, &["client_id"]), "{error:?}"),
            }
            tries += 1;
            assert!(tries < 100_000, "the identifier never becomes free");
            tokio::task::yield_now().await;
        }
        let (after, _) = granted(&cx, &user, &client).await;
        for pair in &before {
            assert_eq!(cx.states(&client, pair).await, [None; 2], "nothing is inherited");
        }
        assert!(joined(deleting.await).expect("delete_client"), "true for a known client");
        assert_eq!(cx.states(&client, &after).await, [ACTIVE; 2], "nothing is lost");
        assert!(cx.get_client(&client, None).await.is_some(), "the new registration stays");
        next_pair(&cx, &strict(), &after).await;
    }
}

async fn deletions_at_once(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let mut pairs = Vec::new();
    for _ in 0..20 {
        pairs.push(granted(&cx, &user, &client).await.0);
    }
    let deleted = together(8, |_| {
        let (cx, client) = (cx.clone(), client.clone());
        async move { cx.storage.delete_client(&client).await.expect("delete_client") }
    });
    assert!(deleted.await.contains(&true), "true for a known client");
    assert_eq!(cx.read_client(&client).await, None);
    for pair in &pairs {
        assert_eq!(cx.states(&client, pair).await, [None; 2]);
    }
}

async fn erasures_at_once(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let mut pairs = Vec::new();
    for _ in 0..20 {
        pairs.push(granted(&cx, &user, &client).await.0);
    }
    let erased = together(8, |_| {
        let (cx, user) = (cx.clone(), user.clone());
        async move { cx.storage.erase_subject(subject(&user)).await.expect("erase_subject") }
    });
    assert_eq!(erased.await.iter().sum::<u64>(), 20, "each grant is counted once");
    for pair in &pairs {
        assert_eq!(cx.states(&client, pair).await, [None; 2]);
    }
}
