//! S20: a disabled client is issued nothing, not even by a statement that was waiting.

use std::time::{Duration, Instant};

use oauth_storage::device_authorization::{
    DeviceApproval, DevicePoll, DevicePollOutcome, NewDeviceAuthorization, UserCodeLookup,
    UserCodeOutcome,
};
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, CodeRedemption,
    DeviceAuthorizationStorage as _, GrantStorage as _, NewAuthorizationCode, PgStorage,
    RedemptionOutcome, Secret, TokenPair, TokenStorage as _,
};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::support::{TestStorage, URI, alice, pair, scope};

/// Issues in every way until the client is refused. Returns the issued tokens.
async fn issue_on(storage: PgStorage, client_id: String, way: usize) -> Vec<TokenPair> {
    let mut issued: Vec<TokenPair> = Vec::new();
    loop {
        let tokens = match way % 3 {
            0 => {
                let new = NewToken::new(&client_id, scope(), pair());
                let tokens = new.tokens.clone();
                match storage.create_token(&alice(), new).await {
                    Ok(_) => tokens,
                    Err(_) => return issued,
                }
            }
            1 => {
                let code = Secret::generate().unwrap();
                let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
                if storage.create_authorization_code(&alice(), new).await.is_err() {
                    return issued;
                }
                let redemption =
                    CodeRedemption::new(&client_id, URI, code).with_refresh_token(true);
                match storage.redeem_authorization_code(&alice(), redemption).await.unwrap() {
                    RedemptionOutcome::Issued(issued) => issued.tokens,
                    _ => return issued,
                }
            }
            _ => match issued.last().and_then(|tokens| tokens.refresh_token.clone()) {
                None => {
                    let new = NewToken::new(&client_id, scope(), pair());
                    let tokens = new.tokens.clone();
                    match storage.create_token(&alice(), new).await {
                        Ok(_) => tokens,
                        Err(_) => return issued,
                    }
                }
                Some(refresh) => {
                    let rotation = TokenRotation::new(&client_id, refresh);
                    match storage.rotate_refresh_token(&alice(), rotation).await.unwrap() {
                        RotationOutcome::Issued(issued) => issued.tokens,
                        _ => return issued,
                    }
                }
            },
        };
        issued.push(tokens);
    }
}

/// On two storages, as on two nodes. A revocation after disabling has returned is complete: no token
/// follows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s20_nothing_is_issued_once_disabling_has_returned() {
    let test = TestStorage::new("s20").await;
    let other = PgStorage::builder().deadline(Duration::from_secs(20));
    let other = other.connect(test.database.url()).await.unwrap();
    let (mut issued, mut slowest) = (0, Duration::ZERO);
    for round in 0..20 {
        let (client_id, _) = test.client().await;
        let mut issuers = JoinSet::new();
        for way in 0..12 {
            let storage = if way % 2 == 0 { &test.storage } else { &other };
            issuers.spawn(issue_on(storage.clone(), client_id.clone(), way));
        }
        tokio::time::sleep(Duration::from_millis(10 + round)).await;
        let started = Instant::now();
        assert!(test.storage.set_client_disabled(&client_id, true).await.unwrap());
        slowest = slowest.max(started.elapsed());
        test.storage.revoke_client(&client_id).await.unwrap();
        let live: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM oauth_storage.authorization_grant
             WHERE client_id = $1 AND revoked_at IS NULL",
        )
        .bind(&client_id)
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
        assert_eq!(live, 0, "round {round}");
        for tokens in issuers.join_all().await.into_iter().flatten() {
            issued += 1;
            for token in [&tokens.access_token, tokens.refresh_token.as_ref().unwrap()] {
                assert_eq!(other.introspect(token).await.unwrap(), None, "round {round}");
            }
        }
    }
    assert!(issued > 200, "{issued} pairs: a race");
    assert!(slowest < Duration::from_secs(2), "a stream of issuers delayed it: {slowest:?}");
}

/// A poll of a device that its user approved.
async fn approved_device(storage: &PgStorage, client_id: &str) -> DevicePoll {
    let new = NewDeviceAuthorization::new(client_id, scope());
    let device = storage.start_device_authorization(new).await.unwrap();
    let lookup = UserCodeLookup::new(&device.user_code);
    let found = storage.find_device_authorization(lookup).await.unwrap();
    let UserCodeOutcome::Found(shown) = found else { panic!("{found:?}") };
    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
    assert!(storage.approve_device_authorization(&alice(), approval).await.unwrap());
    DevicePoll::new(client_id, device.device_code)
}

/// The second statement of `set_client_disabled`, with a parameter for the identifier.
const LOCK_OUT: &str = include_str!("../../../src/postgres/sql/lock_out_client.sql");

/// A statement that began before the client was disabled, and waits for the lock, issues nothing from
/// its old snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s20_a_statement_that_waited_issues_nothing_from_its_old_snapshot() {
    let test = TestStorage::new("s20_waited").await;
    if test.database.is_on_cluster() {
        println!("NOT RUN: a cluster uses an advisory lock in place of the lock row");
        return;
    }
    let (client_id, _) = test.client().await;
    let tokens = pair();
    let new = NewToken::new(&client_id, scope(), tokens.clone());
    test.storage.create_token(&alice(), new).await.unwrap();
    let poll = approved_device(&test.storage, &client_id).await;
    let mut holder = PgConnection::connect(test.database.url()).await.unwrap();
    let hold = "BEGIN; SELECT FROM oauth_storage.client_lock FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    let (storage, id) = (test.storage.clone(), client_id.clone());
    let creating = tokio::spawn(async move {
        storage.create_token(&alice(), NewToken::new(&id, scope(), pair())).await
    });
    let (storage, id) = (test.storage.clone(), client_id.clone());
    let rotating = tokio::spawn(async move {
        let rotation = TokenRotation::new(&id, tokens.refresh_token.unwrap());
        storage.rotate_refresh_token(&alice(), rotation).await
    });
    let storage = test.storage.clone();
    let polling =
        tokio::spawn(async move { storage.poll_device_authorization(&alice(), poll).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waiting = [creating.is_finished(), rotating.is_finished(), polling.is_finished()];
    assert_eq!(waiting, [false; 3], "they wait");
    // The two steps of disabling, the second in the transaction that they wait for.
    test.sql("UPDATE oauth_storage.client SET disabled_at = now()").await;
    sqlx::query(LOCK_OUT).bind(&client_id).execute(&mut holder).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    creating.await.unwrap().unwrap_err();
    assert_eq!(rotating.await.unwrap().unwrap(), RotationOutcome::Invalid);
    assert_eq!(polling.await.unwrap().unwrap(), DevicePollOutcome::Invalid);
}
