//! Concurrent calls.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::context::{
    ACTIVE, Context, REVOKED, foreign_secret, is_duplicate, metadata, new_code, refused, request,
    scope, together, unique,
};
use super::flow::{authorized, redeem};
use oauth_storage::client::ClientSecretRotation;
use oauth_storage::error::{InvalidReason, Result};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{NewClient, RedemptionOutcome, Secret, TokenPair};

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

/// Rotates a client's secret 32 times at once. Returns the results, the number of new secrets that
/// work, and true if the first secret works.
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
            assert!(found.0 || !stored, "an acknowledged token is stored");
            assert!(!found.0 || found.1, "a dropped call leaves the pair whole or absent");
            if found.0 == found.1 {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(found.0, found.1, "a dropped call leaves the pair whole or absent");
    }
}
