//! The purge task begins and ends with the server.

use std::time::Duration;

use axum::{Router, routing::get};
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, NewClient, PgStorage, RequestContext, Settings, Storage,
    TokenPair, TokenRef,
};
use oauth_storage_axum::{Bearer, Purge};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::support::{issue, register, storage};

const OFTEN: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

/// Stores a token that lives for a second, and waits until it has expired.
async fn expired(storage: &impl Storage) -> TokenPair {
    let settings = Settings::default().with_access_token_expires_in(Duration::from_secs(1));
    let tokens = TokenPair::generate().unwrap().without_refresh_token();
    let new = NewToken::new("c", "".parse().unwrap(), tokens.clone());
    let context = RequestContext::default().with_settings(settings);
    storage.create_token(&context, new).await.unwrap();
    sleep(Duration::from_millis(1_100)).await;
    tokens
}

/// Returns true if the storage still has a row for the token, expired or not.
async fn is_stored(storage: &impl Storage, tokens: &TokenPair) -> bool {
    let (context, token) = (RequestContext::default(), TokenRef::Access(&tokens.access_token));
    storage.get_token(&context, "c", token).await.unwrap().is_some()
}

async fn until_removed(storage: &impl Storage, tokens: &TokenPair) {
    let removed = async {
        while is_stored(storage, tokens).await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, removed).await.unwrap();
}

/// The response to a request over the network.
async fn status(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_ends_with_the_server() {
    let testbed = oauth_storage_testbed::shared().await.unwrap();
    let database = testbed.database("axum").await.unwrap();
    let storage = PgStorage::connect(database.url()).await.unwrap();
    // Before the migration each purge fails, and the task continues.
    let purge =
        Purge::every(OFTEN).with_unused_clients(Duration::from_hours(48)).spawn(storage.clone());
    sleep(OFTEN * 4).await;
    storage.migrate().await.unwrap();
    register(&storage, "c").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(async |bearer: Bearer| bearer.token.client_id))
        .with_state(storage.clone());
    let (end, ended) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = ended.await;
    });
    let server = tokio::spawn(async move {
        server.await.unwrap();
        purge.stop().await;
    });
    assert!(status(address).await.starts_with("HTTP/1.1 401 "));
    until_removed(&storage, &expired(&storage).await).await;

    end.send(()).unwrap();
    timeout(LONG, server).await.unwrap().unwrap();
    let tokens = expired(&storage).await;
    sleep(OFTEN * 20).await;
    assert!(is_stored(&storage, &tokens).await, "the task has ended");
    storage.close().await;
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_task_ends() {
    let storage = storage().await;
    let tokens = issue(&storage, "").await;
    storage.advance_clock(Duration::from_hours(24 * 400)).await;
    assert!(is_stored(&storage, &tokens).await);
    let purge = Purge::every(OFTEN).spawn(storage.clone());
    until_removed(&storage, &tokens).await;
    let tokens = issue(&storage, "").await;
    drop(purge);
    storage.advance_clock(Duration::from_hours(24 * 400)).await;
    sleep(OFTEN * 6).await;
    assert!(is_stored(&storage, &tokens).await);
}

/// A node that is stopped during a purge does not wait for it.
#[tokio::test]
async fn a_task_is_stopped_during_a_purge() {
    let storage = storage().await;
    // Nobody else reads or writes meanwhile.
    let transaction = storage.begin().await;
    let purge = Purge::every(Duration::from_millis(1)).spawn(storage.clone());
    sleep(Duration::from_millis(100)).await;
    timeout(LONG, purge.stop()).await.unwrap();
    transaction.commit().await;
}

#[tokio::test]
async fn unused_clients_are_removed_once_a_day() {
    let storage = storage().await;
    let register = async || {
        let new = NewClient::new(ClientMetadata::client_credentials());
        let new = new.with_registration_access_token(true);
        storage.register_client(new).await.unwrap().client.client_id
    };
    let first = register().await;
    let tokens = issue(&storage, "").await;
    storage.advance_clock(Duration::from_hours(24 * 40)).await;
    let kept = Purge::every(OFTEN).spawn(storage.clone());
    until_removed(&storage, &tokens).await;
    sleep(OFTEN).await;
    assert!(storage.read_client(&first).await.unwrap().is_some(), "not without the setting");
    kept.stop().await;
    let month = Duration::from_hours(24 * 30);
    let purge = Purge::every(OFTEN).with_unused_clients(month).spawn(storage.clone());
    let removed = async {
        while storage.read_client(&first).await.unwrap().is_some() {
            sleep(OFTEN).await;
        }
    };
    timeout(LONG, removed).await.unwrap();
    // The clock of the task has not moved on by a day.
    let second = register().await;
    let tokens = issue(&storage, "").await;
    storage.advance_clock(Duration::from_hours(24 * 40)).await;
    until_removed(&storage, &tokens).await;
    sleep(OFTEN).await;
    assert!(storage.read_client(&second).await.unwrap().is_some());
    purge.stop().await;
}
