//! Blocks statements until a test releases them, without a lock that other statements wait for.

use std::time::Duration;

use oauth_storage::token::NewToken;
use oauth_storage::{PgStorage, Secret, TokenPair, TokenStorage as _};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::support::{TestStorage, access_token, alice, eventually, run_sql, scope, secret};

/// Blocks statements on a table until it is released.
pub(crate) struct Barrier {
    url: String,
}

impl Barrier {
    /// Blocks every statement that inserts into the table, by a trigger.
    pub(crate) async fn at_inserts(test: &TestStorage, table: &str) -> Self {
        let barrier = Self::create(test).await;
        run_sql(
            &barrier.url,
            &format!(
                "CREATE FUNCTION wait_at_barrier() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM pass_barrier();
                     RETURN NULL;
                 END $$;
                 CREATE TRIGGER barrier BEFORE INSERT ON oauth_storage.{table}
                     FOR EACH STATEMENT EXECUTE FUNCTION wait_at_barrier()"
            ),
        )
        .await;
        barrier
    }

    /// Blocks every statement that reads the table, by a view in its place.
    pub(crate) async fn at_lookups(test: &TestStorage, table: &str) -> Self {
        let barrier = Self::create(test).await;
        run_sql(
            &barrier.url,
            &format!(
                "ALTER TABLE oauth_storage.{table} RENAME TO behind;
                 CREATE VIEW oauth_storage.{table} AS
                     SELECT * FROM oauth_storage.behind WHERE pass_barrier()"
            ),
        )
        .await;
        barrier
    }

    pub(crate) async fn remove_from_lookups(&self, table: &str) {
        run_sql(
            &self.url,
            &format!(
                "DROP VIEW oauth_storage.{table};
                 ALTER TABLE oauth_storage.behind RENAME TO {table}"
            ),
        )
        .await;
    }

    async fn create(test: &TestStorage) -> Self {
        test.sql(
            "CREATE TABLE barrier (closed boolean);
             INSERT INTO barrier VALUES (true);
             CREATE FUNCTION pass_barrier() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 WHILE (SELECT closed FROM public.barrier) LOOP PERFORM pg_sleep(0.01); END LOOP;
                 RETURN true;
             END $$",
        )
        .await;
        Self { url: test.database.url().to_owned() }
    }

    pub(crate) async fn release(&self) {
        run_sql(&self.url, "UPDATE barrier SET closed = false").await;
    }

    /// Waits until this many statements are blocked.
    pub(crate) async fn wait_for(&self, statements: i64) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        eventually("the statements are blocked", async || {
            let blocked: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'oauth-storage'
                     AND state = 'active'",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            blocked == statements
        })
        .await;
    }
}

/// One lane for writes, and a statement that occupies it until the barrier is released. Calls made
/// meanwhile are queued, and run as one batch.
pub(crate) struct BlockedLane {
    pub(crate) test: TestStorage,
    pub(crate) client_id: String,
    pub(crate) barrier: Barrier,
    pub(crate) first: JoinHandle<()>,
}

impl BlockedLane {
    pub(crate) async fn new(label: &str, queue: usize) -> Self {
        Self::with(label, queue, "").await
    }

    /// Creates the lane on a database on which this SQL was run.
    pub(crate) async fn with(label: &str, queue: usize, sql: &str) -> Self {
        let builder = PgStorage::builder().lanes(1).queue(queue);
        let test = TestStorage::with(label, builder.deadline(Duration::from_secs(20))).await;
        test.sql(sql).await;
        let (client_id, _) = test.client().await;
        let barrier = Barrier::at_inserts(&test, "token").await;
        let (storage, id) = (test.storage.clone(), client_id.clone());
        let first = tokio::spawn(async move {
            let new = NewToken::new(&id, scope(), access_token());
            storage.create_token(&alice(), new).await.unwrap();
        });
        barrier.wait_for(1).await;
        Self { test, client_id, barrier, first }
    }

    pub(crate) fn create(
        &self,
        access: &Secret,
    ) -> JoinHandle<oauth_storage::error::Result<oauth_storage::token::Token>> {
        let (storage, id, access) =
            (self.test.storage.clone(), self.client_id.clone(), access.clone());
        tokio::spawn(async move {
            let tokens = TokenPair::new(access).with_refresh_token(secret());
            let new = NewToken::new(&id, scope(), tokens);
            storage.create_token(&alice(), new).await
        })
    }

    /// Waits until the calls are queued, and releases the barrier.
    pub(crate) async fn release(self) -> (TestStorage, String) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.barrier.release().await;
        self.first.await.unwrap();
        (self.test, self.client_id)
    }
}
