use std::time::Duration;

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, CodeRedemption, GrantStorage as _,
    NewAuthorizationCode, PgStorage, RedemptionOutcome, RequestContext, Secret, TokenPair,
    TokenStorage as _,
};
use tokio::task::JoinSet;

use super::{LIVE_GRANTS, URI, assert_no_deadlock, codes, count, grace, number, storage};
use crate::support::{TestStorage, alice, scope};

/// The call that ends a grant in the races below.
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
    assert_eq!(number(&test, LIVE_GRANTS).await, 0);
    storage.close().await;
    assert_no_deadlock(&test).await;
}

/// Rotates until the grant ends. Returns the number of rotations, and the last pair.
async fn rotate_on(
    storage: &PgStorage,
    request: &RequestContext,
    client_id: &str,
    first: Secret,
    retry: bool,
) -> (usize, Option<TokenPair>) {
    let (mut old, mut refresh, mut last) = (first.clone(), first, None);
    let mut rotations = 0;
    loop {
        // Each response is lost once, and the request is retried within the grace period.
        let present = if retry && rotations % 2 == 1 { old } else { refresh.clone() };
        let rotation = TokenRotation::new(client_id, present.clone());
        match storage.rotate_refresh_token(request, rotation).await.unwrap() {
            RotationOutcome::Issued(issued) => {
                old = present;
                refresh = issued.tokens.refresh_token.clone().unwrap();
                last = Some(issued.tokens);
                rotations += 1;
            }
            RotationOutcome::Reused { .. } | RotationOutcome::Invalid => return (rotations, last),
        }
    }
}

/// A revocation ends a grant that is rotated without pause, however many rotations it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_revocation_overtakes_continuous_rotation() {
    let test = TestStorage::new("s9_overtakes").await;
    let storage = &test.storage;
    for kill in [Kill::Subject, Kill::Client, Kill::Grant, Kill::Token] {
        let (client_id, _) = test.client().await;
        let subject = format!("{kill:?}");
        let user = RequestContext::for_user(oauth_storage::User::new(&subject));
        let tokens = TokenPair::generate().unwrap();
        let refresh = tokens.refresh_token.clone().unwrap();
        let new = NewToken::new(&client_id, scope(), tokens);
        let grant_id = storage.create_token(&user, new).await.unwrap().grant_id;
        // The rotations of several months.
        test.sql(&format!(
            "INSERT INTO oauth_storage.token
                 (issued_at, expires_at, rotated_at, grant_id, digest, digest_tail, kind)
             SELECT now(), now() + interval '90 days', now(), '{grant_id}',
                 md5('{subject}' || n)::uuid, md5(n || '{subject}')::uuid, 'r'
             FROM generate_series(1, 60000) n;
             ANALYZE oauth_storage.token, oauth_storage.authorization_grant"
        ))
        .await;
        let stays = TokenPair::generate_for(grant_id).unwrap();
        let new = NewToken::new(&client_id, scope(), stays.clone()).with_grant_id(grant_id);
        storage.create_token(&user, new).await.unwrap();
        let rotating = {
            let (storage, client_id, first) = (storage.clone(), client_id.clone(), refresh.clone());
            let request = RequestContext::default();
            tokio::spawn(
                async move { rotate_on(&storage, &request, &client_id, first, false).await },
            )
        };
        while storage.introspect(&refresh).await.unwrap().is_some() {}
        let revoke = async {
            match kill {
                Kill::Token => {
                    let token = TokenRef::Refresh(stays.refresh_token.as_ref().unwrap());
                    storage.revoke_token(&user, &client_id, token).await.unwrap();
                }
                Kill::Grant => drop(storage.revoke_grant(grant_id).await.unwrap()),
                Kill::Subject => drop(storage.revoke_subject(&subject).await.unwrap()),
                Kill::Client => drop(storage.revoke_client(&client_id).await.unwrap()),
            }
        };
        let revoked = tokio::time::timeout(Duration::from_secs(5), revoke).await;
        assert!(revoked.is_ok(), "{kill:?}: it runs after them");
        assert_eq!(number(&test, LIVE_GRANTS).await, 0, "{kill:?}");
        let (rotations, last) = rotating.await.unwrap();
        assert!(rotations > 0);
        let last = storage.introspect(&last.unwrap().access_token).await.unwrap();
        assert_eq!(last, None, "{kill:?}");
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
    let user = RequestContext::for_user(oauth_storage::User::new(&subject));
    let code = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(client_id, scope(), URI, code.clone());
    let grant_id = storage.create_authorization_code(&user, new).await.unwrap().grant_id;
    let redemption = CodeRedemption::new(client_id, URI, code).with_refresh_token(true);
    let redeem = async |storage: &PgStorage, redemption| {
        let request = RequestContext::default();
        match storage.redeem_authorization_code(&request, redemption).await.unwrap() {
            RedemptionOutcome::Issued(issued) => Some(issued.tokens),
            _ => None,
        }
    };
    // In every second round the redemption is part of the race.
    let race_redeem = round % 8 < 4 && !matches!(kill, Kill::Token);
    let first = if race_redeem { None } else { redeem(storage, redemption.clone()).await };
    let named = first.clone();
    let rotating = {
        let (storage, client_id) = (storage.clone(), client_id.to_owned());
        tokio::spawn(async move {
            let lenient = round % 2 == 1;
            let request = grace(Duration::from_secs(if lenient { 10 } else { 0 }));
            let first = if race_redeem { redeem(&storage, redemption).await } else { first };
            let Some(first) = first else { return (0, None) };
            let refresh = first.refresh_token.clone().unwrap();
            let (rotations, last) =
                rotate_on(&storage, &request, &client_id, refresh, lenient).await;
            (rotations, last.or(Some(first)))
        })
    };
    tokio::time::sleep(Duration::from_micros((round as u64 * 131) % 4000)).await;
    match kill {
        Kill::Token => {
            let refresh = named.unwrap().refresh_token.unwrap();
            let token = TokenRef::Refresh(&refresh);
            storage.revoke_token(&user, client_id, token).await.unwrap();
        }
        Kill::Grant => drop(storage.revoke_grant(grant_id).await.unwrap()),
        Kill::Subject => drop(storage.revoke_subject(&subject).await.unwrap()),
        Kill::Client => drop(storage.revoke_client(client_id).await.unwrap()),
    }
    let grant = storage.get_grant(grant_id).await.unwrap().unwrap();
    assert_eq!(grant.state, oauth_storage::grant::GrantState::Revoked, "{kill:?}, round {round}");
    let (rotations, last) = rotating.await.unwrap();
    if let Some(last) = last {
        let found = storage.introspect(&last.access_token).await.unwrap();
        assert_eq!(found, None, "{kill:?}, round {round}");
    }
    rotations
}

/// A revocation that waits for the redemption of a code ends what the redemption stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s9_a_revocation_behind_a_transaction_ends_what_it_stored() {
    let test = TestStorage::new("s9_gone").await;
    for kill in [Kill::Grant, Kill::Token, Kill::Subject, Kill::Client] {
        let (client_id, codes) = codes(&test, 1).await;
        let code = &codes[0];
        let found = test.storage.get_authorization_code(&alice(), &client_id, code).await.unwrap();
        let grant_id = found.unwrap().grant_id;
        let mut connection =
            <sqlx::PgConnection as sqlx::Connection>::connect(test.database.url()).await.unwrap();
        let mut a = sqlx::Connection::begin(&mut connection).await.unwrap();
        // Another token of the grant, which is the one to revoke.
        let plain = TokenPair::generate_for(grant_id).unwrap();
        let new = NewToken::new(&client_id, scope(), plain.clone()).with_grant_id(grant_id);
        test.storage.create_token(&alice(), new).await.unwrap();
        // A redeems, and has not committed.
        let redemption = CodeRedemption::new(&client_id, URI, code.clone());
        let inside = test.storage.with_connection(&mut a);
        let outcome =
            inside.redeem_authorization_code(&RequestContext::default(), redemption).await.unwrap();
        let RedemptionOutcome::Issued(issued) = outcome else { panic!("{outcome:?}") };
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
                Kill::Grant => drop(storage.revoke_grant(grant_id).await.unwrap()),
                Kill::Token => {
                    let token = TokenRef::Refresh(plain.refresh_token.as_ref().unwrap());
                    storage.revoke_token(&alice(), &id, token).await.unwrap();
                }
                Kill::Subject => drop(storage.revoke_subject("alice").await.unwrap()),
                Kill::Client => drop(storage.delete_client(&id).await.unwrap()),
            }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        a.commit().await.unwrap();
        b.await.unwrap();
        c.await.unwrap();
        let found = test.storage.introspect(&issued.tokens.access_token).await.unwrap();
        assert_eq!(found, None, "{kill:?}");
    }
}
