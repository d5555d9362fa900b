//! A database for each test, and records.

use std::time::Duration;

use oauth_storage::PgStorage;
use oauth_storage_oauth_as::{OauthAsStorage, SealingKey};
use oauth_storage_testbed::Database;
use sqlx::PgPool;

/// A storage on its own database, which is dropped with it.
pub(crate) struct TestStorage {
    pub(crate) storage: OauthAsStorage,
    pub(crate) pool: PgPool,
    pub(crate) database: Database,
}

impl TestStorage {
    pub(crate) async fn new(label: &str) -> Self {
        let server = oauth_storage_testbed::shared().await.unwrap();
        let database = server.database(label).await.unwrap();
        let (storage, pool) = connect(database.url(), key()).await;
        storage.migrate().await.unwrap();
        Self { storage, pool, database }
    }

    /// Deletes every record.
    pub(crate) async fn clear(&self) {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT 'oauth_as.' || tablename FROM pg_tables
             WHERE schemaname = 'oauth_as' AND tablename <> '_sqlx_migrations'",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        // TRUNCATE writes a file for each index.
        for table in tables {
            let statement = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(statement).execute(&self.pool).await.unwrap();
        }
    }

    /// Asserts that no statement was rolled back because of a deadlock.
    pub(crate) async fn assert_no_deadlock(&self) {
        // The counter is written when a session ends.
        self.pool.close().await;
        let pool = PgPool::connect(self.database.url()).await.unwrap();
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        let deadlocks: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        assert_eq!(deadlocks, 0);
    }
}

/// Connects to a database.
pub(crate) async fn connect(url: &str, key: SealingKey) -> (OauthAsStorage, PgPool) {
    let database = PgStorage::builder()
        .max_connections(16)
        .deadline(Duration::from_secs(60))
        .connect(url)
        .await
        .unwrap();
    (OauthAsStorage::new(&database, key), database.pool().clone())
}

/// The key that all processes of the tests have.
pub(crate) fn key() -> SealingKey {
    SealingKey::from_bytes([7; 32])
}

pub(crate) fn other_key() -> SealingKey {
    SealingKey::from_bytes([8; 32])
}

/// The whole count, or the part of it for a default run.
pub(crate) fn count(full: usize, part: usize) -> usize {
    if std::env::var("OAUTH_STORAGE_TEST_FULL").is_ok_and(|full| full == "1") { full } else { part }
}
