use std::time::Duration;

use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, GrantStorage as _, NewAuthorizationCode,
    NewToken, PgStorage, Redeem, Redeemed, Request, Rotate, Rotated, TokenRef, TokenStorage as _,
};
use tokio::task::JoinSet;

use super::{URI, assert_no_deadlock, codes, count, grace, number, storage};
use crate::support::{TestStorage, alice, scope, secret};

/// How a grant dies in the races below.
#[derive(Clone, Copy, Debug)]
enum Kill {
    Token,
    Grant,
    Subject,
    Client,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_nothing_is_live_when_revocation_has_returned() {
    let test = TestStorage::new("s9").await;
    let storage = storage(test.database.url()).await;
    let rounds = count(10_000, 400);
    let lanes = 8;
    let mut lanes_running = JoinSet::new();
    for lane in 0..lanes {
        let storage = storage.clone();
        let (client_id, _) = test.client().await;
        lanes_running.spawn(async move {
            let mut rotations = 0;
            for round in 0..rounds / lanes {
                let kill = [Kill::Token, Kill::Grant, Kill::Subject, Kill::Client][round % 4];
                rotations += refresh_against(&storage, &client_id, lane, round, kill).await;
            }
            rotations
        });
    }
    let rotations: usize = lanes_running.join_all().await.into_iter().sum();
    assert!(rotations > rounds / 4, "{rotations} rotations in {rounds} rounds: a race");
    assert_eq!(
        number(&test, "SELECT count(*) FROM oauth_storage.token WHERE NOT revoked").await,
        0
    );
    storage.close().await;
    assert_no_deadlock(&test).await;
}

/// Who rotates all the time is not ahead of every look, even where a look takes longer than a
/// rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_revocation_overtakes_whoever_rotates_all_the_time() {
    let test = TestStorage::new("s9_overtakes").await;
    if test.database.is_on_cluster() {
        println!(
            "NOT RUN: races::revoke::s9_a_revocation_overtakes…: no lock there, see docs/citus.md"
        );
        return;
    }
    let storage = &test.storage;
    for kill in [Kill::Subject, Kill::Client, Kill::Grant, Kill::Token] {
        let (client_id, _) = test.client().await;
        let subject = format!("{kill:?}");
        let user = Request::for_user(oauth_storage::User::new(&subject));
        let mut refresh = secret();
        let new = NewToken::new(&client_id, scope(), secret()).with_refresh_token(refresh.clone());
        let grant_id = storage.create_token(&user, new).await.unwrap().grant_id;
        // What was rotated before, in months.
        test.sql(&format!(
            "INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest,
                 client_id, subject, scope, revoked)
             SELECT now(), now() + interval '1 hour', '{grant_id}', 'r',
                 sha256(('{subject}' || n)::bytea), '{client_id}', '{subject}', '', true
             FROM generate_series(1, 60000) n"
        ))
        .await;
        let (stays, first) = (secret(), refresh.clone());
        let mut new = NewToken::new(&client_id, scope(), secret());
        new.grant_id = grant_id;
        storage.create_token(&user, new.with_refresh_token(stays.clone())).await.unwrap();
        let rotating = {
            let (storage, client_id) = (storage.clone(), client_id.clone());
            tokio::spawn(async move {
                loop {
                    let rotate = Rotate::new(&client_id, refresh, secret(), secret());
                    refresh = rotate.new_refresh_token.clone();
                    match storage.rotate_refresh_token(&Request::default(), rotate).await.unwrap() {
                        Rotated::Issued(_) => {}
                        Rotated::Reused { .. } | Rotated::Invalid => return,
                    }
                }
            })
        };
        while storage.introspect(&first).await.unwrap().is_some() {}
        let revoke = async {
            match kill {
                Kill::Token => {
                    let token = TokenRef::Refresh(&stays);
                    storage.revoke_token(&user, &client_id, token).await.unwrap();
                }
                Kill::Grant => drop(storage.revoke_grant(grant_id).await.unwrap()),
                Kill::Subject => drop(storage.revoke_subject(&subject).await.unwrap()),
                Kill::Client => drop(storage.revoke_client(&client_id).await.unwrap()),
            }
        };
        let revoked = tokio::time::timeout(Duration::from_secs(15), revoke).await;
        assert!(revoked.is_ok(), "{kill:?}: it runs after them");
        let live = "SELECT count(*) FROM oauth_storage.token WHERE NOT revoked";
        assert_eq!(number(&test, live).await, 0, "{kill:?}");
        rotating.await.unwrap();
    }
    assert_no_deadlock(&test).await;
}

/// A code is redeemed and its token rotated as fast as possible, while the grant is revoked.
async fn refresh_against(
    storage: &PgStorage,
    client_id: &str,
    lane: usize,
    round: usize,
    kill: Kill,
) -> usize {
    let subject = format!("user-{lane}");
    let user = Request::for_user(oauth_storage::User::new(&subject));
    let (code, first) = (secret(), secret());
    let new = NewAuthorizationCode::new(client_id, scope(), URI, code.clone());
    let grant_id = storage.create_authorization_code(&user, new).await.unwrap().grant_id;
    let redeem = Redeem {
        refresh_token: Some(first.clone()),
        ..Redeem::new(client_id, URI, code, secret())
    };
    let request = Request::default();
    // In every second round the redemption is part of the race.
    let race_redeem = round % 8 < 4 && !matches!(kill, Kill::Token);
    if !race_redeem {
        let redeemed = storage.redeem_authorization_code(&request, redeem.clone()).await.unwrap();
        assert!(matches!(redeemed, Redeemed::Issued(_)));
    }
    let rotating = {
        let (storage, client_id, first) = (storage.clone(), client_id.to_owned(), first.clone());
        tokio::spawn(async move {
            let lenient = round % 2 == 1;
            let request = grace(Duration::from_secs(if lenient { 10 } else { 0 }));
            if race_redeem {
                storage.redeem_authorization_code(&request, redeem).await.unwrap();
            }
            let (mut old, mut refresh) = (first.clone(), first);
            let mut rotations = 0;
            loop {
                // Within the grace period each response is lost once.
                let retry = lenient && rotations % 2 == 1;
                let present = if retry { old.clone() } else { refresh.clone() };
                let rotate = Rotate::new(&client_id, present, secret(), secret());
                (old, refresh) = (rotate.refresh_token.clone(), rotate.new_refresh_token.clone());
                match storage.rotate_refresh_token(&request, rotate).await.unwrap() {
                    Rotated::Issued(_) => rotations += 1,
                    Rotated::Reused { .. } | Rotated::Invalid => return rotations,
                }
            }
        })
    };
    tokio::time::sleep(Duration::from_micros((round as u64 * 131) % 4000)).await;
    match kill {
        Kill::Token => {
            let token = TokenRef::Refresh(&first);
            storage.revoke_token(&user, client_id, token).await.unwrap();
        }
        Kill::Grant => drop(storage.revoke_grant(grant_id).await.unwrap()),
        Kill::Subject => drop(storage.revoke_subject(&subject).await.unwrap()),
        Kill::Client => drop(storage.revoke_client(client_id).await.unwrap()),
    }
    let live: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM oauth_storage.token WHERE grant_id = $1 AND NOT revoked)
              + (SELECT count(*) FROM oauth_storage.authorization_code
                 WHERE grant_id = $1 AND NOT revoked AND consumed_at IS NULL)",
    )
    .bind(grant_id)
    .fetch_one(storage.pool())
    .await
    .unwrap();
    assert_eq!(live, 0, "{kill:?}, round {round}");
    rotating.await.unwrap()
}

/// A row that another statement deletes while a revocation waits for it hides what was made of it
/// no more than one that changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_row_that_goes_away_hides_no_successor() {
    let test = TestStorage::new("s9_gone").await;
    let (client_id, codes) = codes(&test, 3).await;
    for (kill, code) in [Kill::Grant, Kill::Token, Kill::Client].into_iter().zip(&codes) {
        let found = test.storage.get_authorization_code(&alice(), &client_id, code).await.unwrap();
        let grant_id = found.unwrap().grant_id;
        // A holds the code's row: it redeems, and has not committed.
        let mut connection =
            <sqlx::PgConnection as sqlx::Connection>::connect(test.database.url()).await.unwrap();
        let mut a = sqlx::Connection::begin(&mut connection).await.unwrap();
        let plain = secret();
        if matches!(kill, Kill::Token) {
            // A refresh token of the same grant, which is what gets revoked.
            let mut new = NewToken::new(&client_id, scope(), secret());
            new.grant_id = grant_id;
            let new = new.with_refresh_token(plain.clone());
            test.storage.create_token(&alice(), new).await.unwrap();
        }
        let redeem = Redeem {
            refresh_token: Some(secret()),
            ..Redeem::new(&client_id, URI, code.clone(), secret())
        };
        let inside = test.storage.on(&mut a);
        let redeemed = inside.redeem_authorization_code(&Request::default(), redeem).await;
        assert!(matches!(redeemed.unwrap(), Redeemed::Issued(_)));
        drop(inside);
        // B deletes the code, behind A; C revokes, behind B.
        let (storage, id, code) = (test.storage.clone(), client_id.clone(), code.clone());
        let b = tokio::spawn(async move {
            storage.delete_authorization_code(&alice(), &id, &code).await.unwrap();
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (storage, id) = (test.storage.clone(), client_id.clone());
        let c = tokio::spawn(async move {
            match kill {
                Kill::Grant | Kill::Subject => drop(storage.revoke_grant(grant_id).await.unwrap()),
                Kill::Token => {
                    let token = TokenRef::Refresh(&plain);
                    storage.revoke_token(&alice(), &id, token).await.unwrap();
                }
                Kill::Client => drop(storage.delete_client(&id).await.unwrap()),
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        a.commit().await.unwrap();
        b.await.unwrap();
        c.await.unwrap();
        let live: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM oauth_storage.token WHERE grant_id = $1 AND NOT revoked",
        )
        .bind(grant_id)
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
        assert_eq!(live, 0, "{kill:?}");
    }
}
