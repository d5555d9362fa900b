//! Concurrent calls.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::context::{
    ACTIVE, Context, Pair, REVOKED, foreign_secret, foreign_tokens, is_duplicate, joined, joining,
    metadata, new_code, new_token, refused, request, scope, subject, together, unique,
};
use super::flow::{authorized, grace, granted, next_pair, redeem, rotate, rotation, strict};
use oauth_storage::backend::MAX_REFRESH_TOKEN_GRACE;
use oauth_storage::client::ClientSecretRotation;
use oauth_storage::error::{InvalidReason, Result};
use oauth_storage::grant::RotationOutcome;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{Error, NewClient, RedemptionOutcome, RequestContext, Secret, TokenPair};

rules!("concurrency" {
    one_access_token_wins: "contract 3, exactly once: of 64 that store one access token, one does",
    one_refresh_token_wins: "contract 3, no half result: of 64 with one refresh token, one pair is stored whole",
    crossed_pairs: "contract 3, errors: pairs with each other's tokens neither block nor deadlock",
    one_new_grant_wins: "contract 3, exactly once: of 64 that begin one grant, one does",
    one_code_wins: "contract 3, exactly once: of 64 that store one code, one does",
    one_client_wins: "contract 3, exactly once: of 64 that register one client id, one does",
    independent_tokens: "contract 1: create, get and revoke of distinct tokens at once",
    one_secret_without_overlap: "contract 2: of 32 rotations at once the last leaves the one secret that works",
    two_overlaps_at_once: "contract 2: of 32 rotations with an overlap at once two succeed, and three secrets work",
    revocation_in_progress: "S9, contract 1: after revoke_token returns nothing of the grant is active again",
    joins_during_revocation: "S23, contract 2, revoke: a token that joins the grant meanwhile is dead",
    owner_revocation_during_exchanges: "contract 2, revoke: no grant that began before is active after it returns",
    revocations_at_once: "contract 2, revoke: of 16 revocations of one grant one counts it",
    disabling_in_progress: "S20: after set_client_disabled returns nothing is issued, so a revocation is complete",
    deletion_in_progress: "S19, contract 2, delete: after it returns no token, code or grant of the client is found",
    registration_during_deletion: "S19: an identifier is free only when nothing of it is left",
    deletions_at_once: "contract 2, delete: 8 deletions of one client at once all succeed",
    erasures_at_once: "contract 2, erase: 8 erasures of one subject count each grant once",
    lookups_of_one_code: "contract 1, get_authorization_code: 64 lookups at once find it",
    deletions_of_one_code: "contract 1, delete_authorization_code: 64 at once all succeed",
    deletion_against_redemption: "contract 1, 3, exactly once: a code that is deleted and redeemed at once is redeemed once at most",
    dropped_calls: "contract 3, a dropped future: no half result",
});

/// Asserts that one call won and that all others were refused as duplicates. Returns the winner.
#[track_caller]
fn one_winner<T>(results: &[Result<T>], fields: &[&str]) -> usize {
    let winners: Vec<_> = (0..results.len()).filter(|&index| results[index].is_ok()).collect();
    assert_eq!(winners.len(), 1, "of {} at once exactly one wins", results.len());
    for result in results {
        let expected = result.is_ok() || is_duplicate(result, fields);
        assert!(expected, "all others are duplicates of {fields:?}: {:?}", result.as_ref().err());
    }
    winners[0]
}

async fn store(cx: Context, client: String, access: Secret, refresh: Secret) -> Result<()> {
    let tokens = TokenPair::new(access).with_refresh_token(refresh);
    cx.storage.create_token(&request(), NewToken::new(client, scope(), tokens)).await.map(drop)
}

fn foreign_secrets(count: usize) -> Vec<Secret> {
    (0..count).map(|_| foreign_secret()).collect()
}

async fn one_access_token_wins(cx: Context) {
    let client = cx.client().await;
    let access = foreign_secret();
    let refresh = foreign_secrets(64);
    let results =
        together(64, |n| store(cx.clone(), client.clone(), access.clone(), refresh[n].clone()));
    let winner = one_winner(&results.await, &["access_token"]);
    for (index, refresh) in refresh.iter().enumerate() {
        let found = cx.get(&client, TokenRef::Refresh(refresh)).await;
        assert_eq!(found.is_some(), index == winner, "the losers' refresh tokens are not stored");
    }
}

async fn one_refresh_token_wins(cx: Context) {
    let client = cx.client().await;
    let refresh = foreign_secret();
    let access = foreign_secrets(64);
    let results =
        together(64, |n| store(cx.clone(), client.clone(), access[n].clone(), refresh.clone()));
    let winner = one_winner(&results.await, &["refresh_token"]);
    for (index, access) in access.iter().enumerate() {
        let found = cx.get(&client, TokenRef::Access(access)).await;
        assert_eq!(found.is_some(), index == winner, "the losers' access tokens are not stored");
    }
}

async fn crossed_pairs(cx: Context) {
    let client = cx.client().await;
    for _ in 0..4 {
        let (one, other) = (foreign_secret(), foreign_secret());
        let results = together(32, |n| {
            let (access, refresh) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
            store(cx.clone(), client.clone(), access.clone(), refresh.clone())
        });
        let winner = one_winner(&results.await, &["access_token", "refresh_token"]);
        let (access, refresh) = if winner % 2 == 0 { (one, other) } else { (other, one) };
        let pair = [TokenRef::Access(&access), TokenRef::Refresh(&refresh)];
        for token in pair {
            assert!(cx.get(&client, token).await.is_some(), "the winner's pair is stored");
        }
    }
}

async fn one_new_grant_wins(cx: Context) {
    let client = cx.client().await;
    let grant_id = Uuid::now_v7();
    let pairs: Vec<TokenPair> = (0..64).map(|_| super::context::tokens_for(grant_id)).collect();
    let results = together(64, |n| {
        let (cx, new) = (cx.clone(), NewToken::new(&client, scope(), pairs[n].clone()));
        async move { cx.storage.create_token(&request(), new).await }
    });
    let results = results.await;
    let winner = one_winner(&results, &["grant_id"]);
    for (index, tokens) in pairs.iter().enumerate() {
        let found = cx.get(&client, TokenRef::Access(&tokens.access_token)).await;
        let stored = results[index].as_ref().ok();
        assert_eq!(found.as_ref(), stored, "the winner's pair is stored, and no other");
        assert_eq!(stored.is_some(), index == winner);
    }
}

async fn one_code_wins(cx: Context) {
    let client = cx.client().await;
    let code = foreign_secret();
    let results = together(64, |_| {
        let (cx, new) = (cx.clone(), new_code(&client, &code));
        async move { cx.storage.create_authorization_code(&request(), new).await }
    });
    let results = results.await;
    let winner = one_winner(&results, &["code"]);
    let found = cx.get_code(&client, &code).await;
    assert_eq!(found.as_ref(), results[winner].as_ref().ok(), "the winner's code is stored");
}

async fn one_client_wins(cx: Context) {
    let id = unique();
    let results = together(64, |n| {
        let metadata = metadata().with_client_name(format!("client {n}"));
        let (cx, new) = (cx.clone(), NewClient::new(metadata).with_client_id(&id));
        async move { cx.storage.register_client(new).await }
    });
    let mut results = results.await;
    let winner = one_winner(&results, &["client_id"]);
    let winner = results.swap_remove(winner).expect("the winner");
    let found = cx.get_client(&id, winner.client_secret.as_ref()).await;
    assert_eq!(found, Some(winner.client), "the winner's metadata and secret are stored");
}

async fn independent_tokens(cx: Context) {
    let client = cx.client().await;
    together(64, |n| {
        let (cx, client) = (cx.clone(), client.clone());
        async move {
            let pair = cx.pair(&request(), &client).await;
            assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
            let token = match n % 3 {
                0 => TokenRef::Access(&pair.access),
                1 => TokenRef::Refresh(&pair.refresh),
                _ => TokenRef::Any(&pair.refresh),
            };
            cx.revoke(&client, token).await;
            assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
            let next = cx.pair(&request(), &client).await;
            assert_eq!(cx.states(&client, &next).await, [ACTIVE; 2], "no other call revokes it");
        }
    })
    .await;
}

/// Rotates a client's secret 32 times at once. Returns the results, and how many of the new secrets
/// work, and whether the first does.
async fn secrets_rotated(cx: &Context, overlap: Duration) -> (Vec<Result<Secret>>, usize, bool) {
    let (id, first) = cx.client_and_secret().await;
    let results = together(32, |_| {
        let (cx, id) = (cx.clone(), id.clone());
        async move {
            let rotation = ClientSecretRotation::new().with_overlap(overlap);
            let rotated = cx.storage.rotate_client_secret(&id, rotation).await?;
            Ok(rotated.expect("a known client").client_secret.expect("a secret"))
        }
    });
    let results = results.await;
    let mut working = 0;
    for secret in results.iter().flatten() {
        working += usize::from(cx.get_client(&id, Some(secret)).await.is_some());
    }
    (results, working, cx.get_client(&id, Some(&first)).await.is_some())
}

async fn one_secret_without_overlap(cx: Context) {
    let (results, working, first) = secrets_rotated(&cx, Duration::ZERO).await;
    assert!(results.iter().all(Result::is_ok), "a rotation without an overlap always succeeds");
    assert_eq!((working, first), (1, false), "without an overlap one secret works: the last");
}

async fn two_overlaps_at_once(cx: Context) {
    let (results, working, first) = secrets_rotated(&cx, Duration::from_hours(1)).await;
    assert_eq!((working, first), (2, true), "the current secret and two earlier ones work");
    let (rotated, others): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(rotated.len(), 2, "a rotation succeeds while fewer than two earlier ones work");
    for other in others {
        refused(other, "overlap", InvalidReason::TooMany(2), "a third earlier secret");
    }
}

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

/// Issues in every way until told to stop: rotations of a first pair, redemptions, new grants and
/// tokens that join a grant. Returns the grant of what was issued, and the tokens.
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

/// Issues with eight tasks while another operation runs. Returns what was issued, in order for each
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

async fn lookups_of_one_code(cx: Context) {
    let client = cx.client().await;
    let (code, stored) = cx.code(&request(), &client).await;
    let lookups = together(64, |_| {
        let (cx, client, code) = (cx.clone(), client.clone(), code.clone());
        async move { cx.get_code(&client, &code).await }
    });
    assert!(lookups.await.iter().all(|found| found.as_ref() == Some(&stored)), "all find it");
}

async fn deletions_of_one_code(cx: Context) {
    let client = cx.client().await;
    let (code, _) = cx.code(&request(), &client).await;
    together(64, |_| {
        let (cx, client, code) = (cx.clone(), client.clone(), code.clone());
        async move { cx.delete_code(&client, &code).await }
    })
    .await;
    assert_eq!(cx.get_code(&client, &code).await, None);
}

async fn deletion_against_redemption(cx: Context) {
    let client = cx.client().await;
    for _ in 0..4 {
        let redemption = authorized(&cx, &request(), &client).await;
        let outcomes = together(16, |n| {
            let (cx, redemption) = (cx.clone(), redemption.clone());
            async move {
                if n % 2 == 0 {
                    return Some(redeem(&cx, &redemption).await);
                }
                cx.delete_code(&redemption.client_id, &redemption.code).await;
                None
            }
        });
        let outcomes = outcomes.await;
        let is_issued = |o: &&RedemptionOutcome| matches!(o, RedemptionOutcome::Issued(_));
        let issued = outcomes.iter().flatten().filter(is_issued).count();
        assert!(issued <= 1, "a code is redeemed once at most, not {issued} times");
        assert_eq!(cx.get_code(&client, &redemption.code).await, None, "it is used");
    }
}

/// Polls the call this many times, then drops it. Returns its output if it is ready by then.
async fn poll_times<F: Future>(times: usize, call: F) -> Option<F::Output> {
    let mut call = std::pin::pin!(call);
    let mut polls = 0;
    std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polls == times => Poll::Ready(None),
        Poll::Pending => {
            polls += 1;
            Poll::Pending
        }
    })
    .await
}

async fn dropped_calls(cx: Context) {
    let client = cx.client().await;
    let calls = together(64, |n| {
        let (cx, client) = (cx.clone(), client.clone());
        async move {
            let (access, refresh) = (foreign_secret(), foreign_secret());
            let call = store(cx, client, access.clone(), refresh.clone());
            // Half are dropped at an await point, half after some time.
            let stored = match n % 2 {
                0 => poll_times(n / 2 % 4, call).await,
                _ => timeout(Duration::from_millis(n as u64 / 16), call).await.ok(),
            };
            (access, refresh, stored.is_some_and(|stored| stored.is_ok()))
        }
    });
    let calls = calls.await;
    // A call that continues without its caller ends by then.
    sleep(Duration::from_millis(500)).await;
    for (access, refresh, stored) in calls {
        let mut found = (false, false);
        // On a busy machine it may end between the two lookups. Half a result stays half.
        for _ in 0..20 {
            found.0 = cx.get(&client, TokenRef::Access(&access)).await.is_some();
            found.1 = cx.get(&client, TokenRef::Refresh(&refresh)).await.is_some();
            assert!(found.0 || !stored, "what was acknowledged is there");
            assert!(!found.0 || found.1, "a dropped call leaves the pair whole or absent");
            if found.0 == found.1 {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(found.0, found.1, "a dropped call leaves the pair whole or absent");
    }
}
