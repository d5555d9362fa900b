//! S19: a registration owns the credentials that were issued to it, and no others.

use std::time::Duration;

use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, Error, GrantStorage as _, NewClient,
    PgStorage, TokenPair, TokenStorage as _,
};

use crate::support::{TestStorage, URI, alice, eventually, pair, scope, store_grants};

async fn register(storage: &PgStorage, client_id: &str) -> Result<(), oauth_storage::Error> {
    let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope());
    let new = NewClient::new(metadata).with_client_id(client_id);
    storage.register_client(new).await.map(drop)
}

async fn issue(storage: &PgStorage, client_id: &str) -> Result<TokenPair, oauth_storage::Error> {
    let new = NewToken::new(client_id, scope(), pair());
    let tokens = new.tokens.clone();
    storage.create_token(&alice(), new).await.map(|_| tokens)
}

async fn is_live(storage: &PgStorage, tokens: &TokenPair) -> bool {
    storage.introspect(&tokens.access_token).await.unwrap().is_some()
}

/// The deletion fails after its first statements. Until it is called again the client is disabled
/// and its identifier taken.
#[tokio::test]
async fn s19_an_interrupted_deletion_leaves_nothing_to_inherit() {
    let test = TestStorage::new("s19_cut_off").await;
    let storage = &test.storage;
    register(storage, "robot").await.unwrap();
    let old = issue(storage, "robot").await.unwrap();
    test.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'the node stops' USING ERRCODE = '57P01';
         END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON oauth_storage.authorization_grant
             FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    )
    .await;
    let error = storage.delete_client("robot").await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");

    assert_eq!(storage.get_client(&alice(), "robot", None).await.unwrap(), None);
    let record = storage.read_client("robot").await.unwrap().unwrap();
    assert!(record.deleted_at.is_some() && record.disabled_at.is_some());
    let error = register(storage, "robot").await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid { field: "client_id", reason: InvalidReason::Duplicate }),
        "{error:?}"
    );
    issue(storage, "robot").await.unwrap_err();
    // It cannot be enabled again.
    let enabled = storage.set_client_disabled("robot", false).await;
    assert!(!matches!(enabled, Ok(true)), "{enabled:?}");
    assert_eq!(storage.get_client(&alice(), "robot", None).await.unwrap(), None);
    let refresh = old.refresh_token.clone().unwrap();
    let rotation = TokenRotation::new("robot", refresh);
    let rotated = storage.rotate_refresh_token(&alice(), rotation.clone()).await.unwrap();
    assert_eq!(rotated, RotationOutcome::Invalid);

    test.sql("DROP TRIGGER refuse ON oauth_storage.authorization_grant").await;
    assert!(storage.delete_client("robot").await.unwrap());
    assert!(!is_live(storage, &old).await);
    register(storage, "robot").await.unwrap();
    let new = issue(storage, "robot").await.unwrap();
    let rotated = storage.rotate_refresh_token(&alice(), rotation).await.unwrap();
    assert_eq!(rotated, RotationOutcome::Invalid, "nothing is inherited");
    assert!(is_live(storage, &new).await && !is_live(storage, &old).await);
}

/// Two nodes delete the client, and one registers it again meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s19_a_new_registration_loses_nothing_to_a_running_deletion() {
    let test = TestStorage::new("s19_race").await;
    let other = PgStorage::builder().deadline(Duration::from_secs(20));
    let other = other.connect(test.database.url()).await.unwrap();
    for round in 0..20 {
        register(&test.storage, "robot").await.unwrap();
        let mut old = Vec::new();
        for _ in 0..5 {
            old.push(issue(&test.storage, "robot").await.unwrap());
        }
        let deleting = [&test.storage, &other].map(|storage| {
            let storage = storage.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(round * 150)).await;
                storage.delete_client("robot").await
            })
        });
        // As soon as the identifier is free.
        eventually("it is free", async || register(&other, "robot").await.is_ok()).await;
        let mut new = Vec::new();
        for _ in 0..5 {
            new.push(issue(&other, "robot").await);
        }
        for deleting in deleting {
            deleting.await.unwrap().unwrap();
        }
        // A deletion that began after the new registration deletes it as well. Otherwise every token
        // of it is live.
        let is_there = other.read_client("robot").await.unwrap().is_some();
        for tokens in new.into_iter().flatten() {
            assert_eq!(is_live(&other, &tokens).await, is_there, "round {round}");
        }
        for tokens in &old {
            assert!(!is_live(&other, tokens).await, "round {round}");
        }
        test.storage.delete_client("robot").await.unwrap();
    }
}

/// A slow node continues its deletion after another node has finished it and the identifier was
/// registered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s19_a_slow_deletion_leaves_a_new_registration_alone() {
    let test = TestStorage::new("s19_slow").await;
    let mut url = url::Url::parse(test.database.url()).unwrap();
    url.query_pairs_mut().append_pair("application_name", "slow");
    let slow = PgStorage::builder().deadline(Duration::from_secs(20));
    let slow = slow.connect(url.as_str()).await.unwrap();
    test.sql(
        "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF current_setting('application_name') = 'slow' THEN PERFORM pg_sleep(1.5); END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER take_long BEFORE DELETE ON oauth_storage.authorization_grant
             FOR EACH STATEMENT EXECUTE FUNCTION take_long()",
    )
    .await;
    register(&test.storage, "robot").await.unwrap();
    // Three batches, so that the slow node scans again when the new registration exists.
    test.sql(&store_grants(3_000, "'robot'", "'user-' || n")).await;
    let deleting = tokio::spawn(async move { slow.delete_client("robot").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!deleting.is_finished());
    assert!(test.storage.delete_client("robot").await.unwrap());
    register(&test.storage, "robot").await.unwrap();
    let mut new = Vec::new();
    for _ in 0..20 {
        new.push(issue(&test.storage, "robot").await.unwrap());
    }
    deleting.await.unwrap().unwrap();
    for tokens in &new {
        assert!(is_live(&test.storage, tokens).await);
    }
    assert!(test.storage.get_client(&alice(), "robot", None).await.unwrap().is_some());
}
