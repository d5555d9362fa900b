//! Statements that take as long as a test wants, without a lock that another one would wait for.

use std::time::Duration;

use oauth_storage::token::NewToken;
use oauth_storage::{PgStorage, Secret, TokenPair, TokenStorage as _};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::support::{TestStorage, access_token, alice, eventually, run_sql, scope, secret};

/// Shut from the beginning. Whatever comes to it sleeps until it is opened.
pub(crate) struct Gate {
    url: String,
}

impl Gate {
    /// In front of every statement that inserts into the table.
    pub(crate) async fn at_inserts(test: &TestStorage, table: &str) -> Self {
        let gate = Self::shut(test).await;
        run_sql(
            &gate.url,
            &format!(
                "CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM pass_gate();
                     RETURN NULL;
                 END $$;
                 CREATE TRIGGER gate BEFORE INSERT ON oauth_storage.{table}
                     FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate()"
            ),
        )
        .await;
        gate
    }

    /// In front of every statement that reads the table, a view in its place.
    pub(crate) async fn at_lookups(test: &TestStorage, table: &str) -> Self {
        let gate = Self::shut(test).await;
        run_sql(
            &gate.url,
            &format!(
                "ALTER TABLE oauth_storage.{table} RENAME TO behind;
                 CREATE VIEW oauth_storage.{table} AS
                     SELECT * FROM oauth_storage.behind WHERE pass_gate()"
            ),
        )
        .await;
        gate
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

    async fn shut(test: &TestStorage) -> Self {
        test.sql(
            "CREATE TABLE gate (shut boolean);
             INSERT INTO gate VALUES (true);
             CREATE FUNCTION pass_gate() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 WHILE (SELECT shut FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
                 RETURN true;
             END $$",
        )
        .await;
        Self { url: test.database.url().to_owned() }
    }

    pub(crate) async fn open(&self) {
        run_sql(&self.url, "UPDATE gate SET shut = false").await;
    }

    /// Waits until so many statements are held.
    pub(crate) async fn holds(&self, statements: i64) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        eventually("the gate holds them", async || {
            let held: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'oauth-storage'
                     AND state = 'active'",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            held == statements
        })
        .await;
    }
}

/// One lane for writes, and a statement that holds it until the gate opens: whatever is called
/// meanwhile waits, and goes as one batch.
pub(crate) struct Held {
    pub(crate) test: TestStorage,
    pub(crate) client_id: String,
    pub(crate) gate: Gate,
    pub(crate) first: JoinHandle<()>,
}

impl Held {
    pub(crate) async fn new(label: &str, queue: usize) -> Self {
        Self::with(label, queue, "").await
    }

    /// On a database on which this was run.
    pub(crate) async fn with(label: &str, queue: usize, sql: &str) -> Self {
        let builder = PgStorage::builder().lanes(1).queue(queue);
        let test = TestStorage::with(label, builder.deadline(Duration::from_secs(20))).await;
        test.sql(sql).await;
        let (client_id, _) = test.client().await;
        let gate = Gate::at_inserts(&test, "token").await;
        let (storage, id) = (test.storage.clone(), client_id.clone());
        let first = tokio::spawn(async move {
            let new = NewToken::new(&id, scope(), access_token());
            storage.create_token(&alice(), new).await.unwrap();
        });
        gate.holds(1).await;
        Self { test, client_id, gate, first }
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

    /// Lets what was called meanwhile into the queue, and then the lane go.
    pub(crate) async fn release(self) -> (TestStorage, String) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.gate.open().await;
        self.first.await.unwrap();
        (self.test, self.client_id)
    }
}
