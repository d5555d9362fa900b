//! A database a test, and the few things that every test needs.

use std::time::Duration;

use oauth_storage::{
    ClientMetadata, ClientRegistry as _, NewClient, PgStorage, PgStorageBuilder, Request, Scope,
    Secret, User,
};
use oauth_storage_testbed::Database;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A storage on a database of its own, which goes when this does.
pub(crate) struct TestStorage {
    pub(crate) storage: PgStorage,
    pub(crate) database: Database,
}

impl TestStorage {
    /// With a deadline that a busy machine keeps, for tests that are not about it.
    pub(crate) async fn new(label: &str) -> Self {
        let builder = PgStorage::builder().password_users();
        Self::with(label, builder.deadline(Duration::from_secs(20))).await
    }

    pub(crate) async fn with(label: &str, builder: PgStorageBuilder) -> Self {
        let database = database(label).await;
        let storage = builder.connect(database.url()).await.unwrap();
        storage.migrate().await.unwrap();
        database.distribute().await.unwrap();
        Self { storage, database }
    }

    /// Runs statements beside the storage.
    pub(crate) async fn sql(&self, sql: &str) {
        run_sql(self.database.url(), sql).await;
    }

    /// A client of the code flow with a secret.
    pub(crate) async fn client(&self) -> (String, Secret) {
        let metadata =
            ClientMetadata::authorization_code(["https://client.example/cb"]).with_scope(scope());
        let registered = self.storage.register_client(NewClient::new(metadata)).await.unwrap();
        (registered.client.client_id, registered.client_secret.unwrap())
    }
}

pub(crate) async fn database(label: &str) -> Database {
    oauth_storage_testbed::shared().await.unwrap().database(label).await.unwrap()
}

pub(crate) async fn run_sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The URL with another user.
pub(crate) fn url_as(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{user}:{password}@{host}")
}

/// A role name that no other run on the same server has.
pub(crate) fn unique(name: &str) -> String {
    let random = Secret::generate().unwrap();
    let letters = random.expose().bytes().filter(u8::is_ascii_lowercase);
    format!("oauth_storage_test_{name}_{}", letters.map(char::from).collect::<String>())
}

pub(crate) fn scope() -> Scope {
    "openid profile".parse().unwrap()
}

pub(crate) fn alice() -> Request {
    Request::for_user(User::new("alice"))
}

pub(crate) fn secret() -> Secret {
    Secret::generate().unwrap()
}

/// Polls until it holds, or fails after ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}
