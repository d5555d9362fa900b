//! Batching: callers that share a statement do not affect each other.

mod life;

use std::time::{Duration, Instant};

use oauth_storage::error::{Advice, InvalidReason};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientRegistry as _, ClientStorage as _, CodeRedemption, Error,
    GrantStorage as _, NewAuthorizationCode, PgStorage, RedemptionOutcome, RequestContext, Secret,
    TokenPair, TokenStorage as _,
};

use crate::barrier::{Barrier, BlockedLane};
use crate::support::{TestStorage, URI, alice, digest, scope, secret};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_call_affects_no_other_call_of_its_batch() {
    let lane = BlockedLane::new("lanes_neighbour", 100).await;
    let taken = secret();
    let calls: Vec<_> = (0..20)
        .map(|n| lane.create(if n % 10 == 3 { &taken } else { Box::leak(Box::new(secret())) }))
        .collect();
    lane.release().await;
    let mut stored = 0;
    let mut duplicates = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => stored += 1,
            Err(Error::Invalid { field: "access_token", reason: InvalidReason::Duplicate }) => {
                duplicates += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((stored, duplicates), (19, 1));
}

/// A row that was edited by hand may not decode: JSON of another shape is an error of the driver, an
/// infinite timestamp a panic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_decoded_affects_no_other_call() {
    let builder = PgStorage::builder().lanes(1).deadline(Duration::from_secs(20));
    let test = TestStorage::with("lanes_undecodable", builder).await;
    let (owner, _) = test.client().await;
    let mut rows = Vec::new();
    for _ in 0..5 {
        let (client_id, token, code) = (test.client().await.0, secret(), secret());
        let new = NewToken::new(&owner, scope(), TokenPair::new(token.clone()));
        test.storage.create_token(&alice(), new).await.unwrap();
        let new = NewAuthorizationCode::new(&owner, scope(), URI, code.clone());
        test.storage.create_authorization_code(&alice(), new).await.unwrap();
        rows.push((client_id, token, code));
    }
    let (client_id, token, code) = &rows[2];
    let edited = [
        ("oauth_storage.client", client_id.clone()),
        ("oauth_storage.token", token.digest().to_string()),
        ("oauth_storage.authorization_code", code.digest().to_string()),
    ];
    test.sql(&format!(
        r#"UPDATE oauth_storage.client SET details = '{{"contacts": 7}}'
           WHERE client_id = '{client_id}';
         UPDATE oauth_storage.token SET expires_at = 'infinity' WHERE digest = '{}';
         UPDATE oauth_storage.authorization_code SET expires_at = 'infinity'
           WHERE digest = '{}'"#,
        digest(token).0,
        digest(code).0,
    ))
    .await;

    // One lookup occupies the lane for reads, so the other calls of a kind share a statement.
    let barrier = Barrier::at_lookups(&test, "client").await;
    let (storage, id) = (test.storage.clone(), owner.clone());
    let first = tokio::spawn(async move { storage.get_client(&alice(), &id, None).await });
    barrier.wait_for(1).await;
    let calls: Vec<_> = rows
        .into_iter()
        .map(|(client_id, token, code)| {
            let (storage, owner) = (test.storage.clone(), owner.clone());
            tokio::spawn(async move {
                let alice = alice();
                tokio::join!(
                    async { storage.get_client(&alice, &client_id, None).await.map(drop) },
                    async { storage.introspect(&token).await.map(drop) },
                    async { storage.get_authorization_code(&alice, &owner, &code).await.map(drop) },
                )
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    barrier.release().await;
    first.await.unwrap().unwrap();
    for (n, call) in calls.into_iter().enumerate() {
        let (client, token, code) = call.await.unwrap();
        for (found, edited) in [client, token, code].into_iter().zip(&edited) {
            match found {
                Ok(()) if n != 2 => {}
                Err(Error::Corrupt { table, row, .. }) if n == 2 => {
                    assert_eq!((table, &row), (edited.0, &edited.1));
                }
                other => panic!("{edited:?} {n}: {other:?}"),
            }
        }
    }
    barrier.remove_from_lookups("client").await;
    // On a pooled connection it is an error as well.
    let endless = "UPDATE oauth_storage.client SET client_secret_expires_at = 'infinity'";
    test.sql(endless).await;
    let error = test.storage.read_client(&owner).await.unwrap_err();
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
}

/// It may hide a commit whose response was lost, so the statement does not run again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_error_is_no_duplicate_and_runs_once() {
    let refuse = r#"CREATE SEQUENCE runs;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('runs') > 1 THEN
                 RAISE EXCEPTION 'no such page in "token_pkey"' USING ERRCODE = 'XX000';
             END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON oauth_storage.token
             FOR EACH STATEMENT EXECUTE FUNCTION refuse()"#;
    let lane = BlockedLane::with("lanes_internal", 100, refuse).await;
    let calls: Vec<_> = (0..5).map(|_| lane.create(&secret())).collect();
    let (test, _) = lane.release().await;
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(&error, Error::Backend { code: Some(c), .. } if c == "XX000"), "{error}");
    }
    let runs: i64 = sqlx::query_scalar("SELECT last_value FROM runs")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert_eq!(runs, 2, "the lane's first statement, and one for all five");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_redemptions_of_one_code_in_the_queue_are_issued_once() {
    let lane = BlockedLane::new("lanes_keys", 100).await;
    // By SQL, because the lane is busy.
    let code = secret();
    let (head, tail) = digest(&code);
    let sql = format!(
        "WITH made AS (
             INSERT INTO oauth_storage.authorization_grant
                 (granted_at, expires_at, grant_id, client_id, subject, scope)
             VALUES (now(), now() + interval '1 minute', gen_random_uuid(), '{}', 'alice', 'openid')
             RETURNING grant_id
         )
         INSERT INTO oauth_storage.authorization_code (issued_at, expires_at, grant_id, digest,
             digest_tail, response_type, redirect_uri)
         SELECT now(), now() + interval '1 minute', grant_id, '{head}', '{tail}', 'code', '{URI}'
         FROM made",
        lane.client_id
    );
    lane.test.sql(&sql).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let storage = lane.test.storage.clone();
            let redeem = CodeRedemption::new(&lane.client_id, URI, code.clone());
            tokio::spawn(async move {
                storage.redeem_authorization_code(&RequestContext::default(), redeem).await.unwrap()
            })
        })
        .collect();
    lane.release().await;
    let (mut issued, mut replayed) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            RedemptionOutcome::Issued(_) => issued += 1,
            RedemptionOutcome::Replayed { .. } => replayed += 1,
            // The replay revoked the grant.
            RedemptionOutcome::Invalid => {}
        }
    }
    assert_eq!((issued, replayed), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_stops_no_other_and_stores_nothing() {
    let lane = BlockedLane::new("lanes_dropped", 100).await;
    let (gone, here) = (secret(), secret());
    let dropped = lane.create(&gone);
    let kept = lane.create(&here);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let BlockedLane { test, client_id, barrier, first } = lane;
    // The call that occupies the lane is dropped as well. Its statement continues.
    for caller in [first.abort_handle(), dropped.abort_handle()] {
        caller.abort();
    }
    // They are dropped only when the tasks have ended.
    assert!(first.await.unwrap_err().is_cancelled());
    assert!(dropped.await.unwrap_err().is_cancelled());
    barrier.release().await;
    kept.await.unwrap().unwrap();
    let found = test.storage.get_token(&alice(), &client_id, TokenRef::Access(&here)).await;
    assert!(found.unwrap().is_some());
    let found = test.storage.get_token(&alice(), &client_id, TokenRef::Access(&gone)).await;
    assert_eq!(found.unwrap(), None, "a queued call that was dropped does not run");
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_storage.token")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert_eq!(stored, 3, "a running statement completes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_wait_behind_writes() {
    let lane = BlockedLane::new("lanes_reads", 100).await;
    let started = Instant::now();
    let find = secret();
    for _ in 0..10 {
        let find = TokenRef::Access(&find);
        lane.test.storage.get_token(&alice(), &lane.client_id, find).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    lane.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once() {
    let lane = BlockedLane::new("lanes_full", 4).await;
    let waiting: Vec<_> = (0..4).map(|_| lane.create(&secret())).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    let error = lane.create(&secret()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert_eq!(error.advice(), Advice::BackOff);
    assert!(started.elapsed() < Duration::from_secs(5));
    lane.release().await;
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_still_queued_at_the_deadline_never_runs() {
    let builder = PgStorage::builder().lanes(1).deadline(Duration::from_secs(2));
    let test = TestStorage::with("lanes_late", builder).await;
    let (client_id, _) = test.client().await;
    let barrier = Barrier::at_inserts(&test, "token").await;
    let create = |access: &Secret| {
        let (storage, new) = (
            test.storage.clone(),
            NewToken::new(&client_id, scope(), TokenPair::new(access.clone())),
        );
        tokio::spawn(async move { storage.create_token(&alice(), new).await })
    };
    let (begun, late) = (secret(), secret());
    let first = create(&begun);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    // The lane is free again only when the first statement has timed out, and then waits again.
    let second = create(&secret());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let code = NewAuthorizationCode::new(&client_id, scope(), URI, late.clone());
    let storage = test.storage.clone();
    let third =
        tokio::spawn(
            async move { storage.create_authorization_code(&alice(), code).await.map(drop) },
        );
    assert!(first.await.unwrap().is_err());
    let error = second.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. } | Error::OutcomeUnknown { .. }), "{error:?}");
    let third = third.await.unwrap();
    barrier.wait_for(0).await;
    barrier.release().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM oauth_storage.token")
        .fetch_one(test.storage.pool())
        .await
        .unwrap();
    assert_eq!(stored, 0, "a statement that timed out has no effect");
    // Overloaded means that nothing was sent. Only an unknown outcome leaves both possible.
    let found = test.storage.get_authorization_code(&alice(), &client_id, &late).await.unwrap();
    if !matches!(third, Err(Error::OutcomeUnknown { .. })) {
        assert_eq!(found.is_some(), third.is_ok(), "{third:?}");
    }
}
