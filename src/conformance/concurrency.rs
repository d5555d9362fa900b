//! Many calls at the same time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::context::{
    Context, Pair, is_duplicate, metadata, new_code, request, scope, secret, together, unique,
};
use crate::error::{Error, Problem, Result};
use crate::model::{NewClient, NewToken, TokenRef, TokenState};
use crate::secret::Secret;
use crate::storage::RotateClientSecret;

const ACTIVE: Option<TokenState> = Some(TokenState::Active);
const REVOKED: Option<TokenState> = Some(TokenState::Revoked);

super::room!("concurrency" {
    one_access_token_wins: "contract 3, exactly once: of 64 that store one access token, one does",
    one_refresh_token_wins: "contract 3, no half result: of 64 with one refresh token, one pair is stored whole",
    crossed_pairs: "contract 3, errors: pairs that want each other's tokens neither block nor deadlock",
    one_code_wins: "contract 3, exactly once: of 64 that store one code, one does",
    one_client_wins: "contract 3, exactly once: of 64 that register one client id, one does",
    lives_of_their_own: "contract 1: create, get and revoke of distinct tokens at once",
    last_rotation_wins: "contract 2: of 32 rotations at once the last leaves the one secret that works",
    rotations_leave_two: "contract 2: of 32 rotations with overlap at once, two secrets work",
    revocation_under_way: "S9, contract 1: after revoke_token returns nothing of the grant is active again",
    deletion_under_way: "contract 2, delete: after it returns no token or code of the client is left",
    disabling_under_way: "contract 2, disable: after it returns nothing is issued to the client",
    looks_at_one_code: "contract 1, get_authorization_code: 64 looks at once find it",
    deletions_of_one_code: "contract 1, delete_authorization_code: 64 at once all succeed",
    dropped_calls: "contract 3, a dropped future: no half result",
});

/// Asserts that one call won and that all others were told of the duplicate; gives the winner.
#[track_caller]
fn one_winner<T>(results: &[Result<T>], fields: &[&str]) -> usize {
    let winners: Vec<_> = (0..results.len()).filter(|&index| results[index].is_ok()).collect();
    assert_eq!(winners.len(), 1, "of {} at once exactly one wins", results.len());
    for result in results {
        let told = result.is_ok() || is_duplicate(result, fields);
        assert!(told, "all others are told Duplicate of {fields:?}: {:?}", result.as_ref().err());
    }
    winners[0]
}

async fn store(cx: Context, client: String, access: Secret, refresh: Secret) -> Result<()> {
    let new = NewToken::new(client, scope(), access).with_refresh_token(refresh);
    cx.storage.create_token(&request(), new).await.map(drop)
}

async fn one_access_token_wins(cx: Context) {
    let client = cx.client().await;
    let access = secret();
    let refresh: Vec<Secret> = (0..64).map(|_| secret()).collect();
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
    let refresh = secret();
    let access: Vec<Secret> = (0..64).map(|_| secret()).collect();
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
        let (one, other) = (secret(), secret());
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

async fn one_code_wins(cx: Context) {
    let client = cx.client().await;
    let code = secret();
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
        let metadata = metadata().with_name(format!("client {n}"));
        let (cx, new) = (cx.clone(), NewClient::new(metadata).with_client_id(&id));
        async move { cx.storage.register_client(new).await }
    });
    let mut results = results.await;
    let winner = one_winner(&results, &["client_id"]);
    let winner = results.swap_remove(winner).expect("the winner");
    let found = cx.get_client(&id, winner.client_secret.as_ref()).await;
    assert_eq!(found, Some(winner.client), "the winner's metadata and secret are stored");
}

async fn lives_of_their_own(cx: Context) {
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
            assert_eq!(cx.states(&client, &next).await, [ACTIVE; 2], "no neighbour revokes it");
        }
    })
    .await;
}

async fn rotated(cx: &Context, overlap: Duration) -> usize {
    let (id, first) = cx.client_and_secret().await;
    let secrets = together(32, |_| {
        let (cx, id) = (cx.clone(), id.clone());
        async move {
            let rotation = RotateClientSecret::with_overlap(overlap);
            let rotated = cx.storage.rotate_client_secret(&id, rotation).await;
            let rotated = rotated.expect("a rotation beside others succeeds");
            rotated.expect("a known client").client_secret.expect("a secret")
        }
    });
    let mut working = 0;
    for secret in secrets.await {
        working += usize::from(cx.get_client(&id, Some(&secret)).await.is_some());
    }
    assert!(cx.get_client(&id, Some(&first)).await.is_none(), "the first is long rotated out");
    let rotated = cx.storage.rotate_client_secret(&id, RotateClientSecret::default()).await;
    let last = rotated.expect("a rotation").expect("a known client").client_secret;
    assert!(cx.get_client(&id, last.as_ref()).await.is_some(), "another rotation works");
    working
}

async fn last_rotation_wins(cx: Context) {
    assert_eq!(rotated(&cx, Duration::ZERO).await, 1, "without overlap one secret works: the last");
}

async fn rotations_leave_two(cx: Context) {
    let overlap = Duration::from_hours(1);
    assert_eq!(rotated(&cx, overlap).await, 2, "with overlap two secrets work: the last two");
}

async fn revocation_under_way(cx: Context) {
    let client = cx.client().await;
    let request = request();
    let first = cx.pair(&request, &client).await;
    let mut pairs: Vec<Arc<Pair>> = Vec::new();
    for _ in 0..8 {
        let mut new = NewToken::new(&client, scope(), secret());
        new.grant_id = first.token.grant_id;
        pairs.push(Arc::new(cx.pair_of(&request, new).await));
    }
    let over = Arc::new(AtomicBool::new(false));
    let looks: Vec<_> = pairs
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
    cx.revoke(&client, TokenRef::Refresh(&first.refresh)).await;
    over.store(true, Ordering::SeqCst);
    for look in looks {
        look.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    for pair in creations.await.expect("creations beside a revocation succeed") {
        assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "another grant's are not touched");
    }
}

/// Stores pairs and codes for a client while the storage is told something else about it.
async fn issue_during(
    cx: &Context,
    client: &str,
    other: impl Future<Output = bool>,
) -> Vec<(Secret, Secret, bool)> {
    let issue = {
        let (cx, client) = (cx.clone(), client.to_owned());
        tokio::spawn(together(64, move |_| {
            let (cx, client, access, code) = (cx.clone(), client.clone(), secret(), secret());
            async move {
                let created = store(cx.clone(), client.clone(), access.clone(), secret()).await;
                let new = new_code(&client, &code);
                let stored = cx.storage.create_authorization_code(&request(), new).await;
                for result in [&created, &stored.map(drop)] {
                    let told = matches!(
                        result,
                        Ok(())
                            | Err(Error::Invalid { field: "client_id", problem: Problem::Unknown })
                    );
                    assert!(told, "stored, or client_id Unknown: {result:?}");
                }
                (access, code, created.is_ok())
            }
        }))
    };
    tokio::task::yield_now().await;
    assert!(other.await, "true for a known client");
    issue.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn deletion_under_way(cx: Context) {
    for _ in 0..4 {
        let client = cx.client().await;
        let delete = async { cx.storage.delete_client(&client).await.expect("delete") };
        for (access, code, _) in issue_during(&cx, &client, delete).await {
            let token = cx.get(&client, TokenRef::Any(&access)).await;
            assert_eq!(token, None, "no token survives its client, nor comes after it");
            assert_eq!(cx.get_code(&client, &code).await, None, "nor does a code");
        }
    }
}

async fn disabling_under_way(cx: Context) {
    let client = cx.client().await;
    let disable = async { cx.storage.set_client_disabled(&client, true).await.expect("disable") };
    for (access, _, stored) in issue_during(&cx, &client, disable).await {
        let found = cx.get(&client, TokenRef::Any(&access)).await;
        assert_eq!(found.is_some(), stored, "what was acknowledged is there, and nothing else");
    }
    let late = store(cx.clone(), client.clone(), secret(), secret()).await;
    assert!(late.is_err(), "after set_client_disabled returns nothing is issued");
}

async fn looks_at_one_code(cx: Context) {
    let client = cx.client().await;
    let (code, stored) = cx.code(&request(), &client).await;
    let looks = together(64, |_| {
        let (cx, client, code) = (cx.clone(), client.clone(), code.clone());
        async move { cx.get_code(&client, &code).await }
    });
    assert!(looks.await.iter().all(|found| found.as_ref() == Some(&stored)), "all find it");
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

/// Polls the call that often, then drops it, or goes on to its end where it has come to it.
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
            let (access, refresh) = (secret(), secret());
            let call = store(cx, client, access.clone(), refresh.clone());
            // Half are dropped at an await point, half when some time has passed.
            let stored = match n % 2 {
                0 => poll_times(n / 2 % 4, call).await,
                _ => timeout(Duration::from_millis(n as u64 / 16), call).await.ok(),
            };
            (access, refresh, stored.is_some_and(|stored| stored.is_ok()))
        }
    });
    let calls = calls.await;
    // A call that goes on without its caller comes to its end.
    sleep(Duration::from_millis(500)).await;
    for (access, refresh, stored) in calls {
        let mut found = (false, false);
        // Or it comes between the two looks, on a busy machine. What is half stays half.
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
