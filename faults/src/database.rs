//! All SQL of the suite, over a plain connection beside the storage: what the tables hold, what the
//! server does.
#![allow(
    clippy::disallowed_methods,
    reason = "it looks past the crate, at schemas that the compiler cannot check"
)]

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::Result;

/// How many keys a statement takes.
const CHUNK: usize = 10_000;

pub(crate) struct Database {
    connection: PgConnection,
}

/// A row of `oauth_storage.token`.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    pub(crate) grant_id: Uuid,
    pub(crate) active: bool,
    pub(crate) rotated: bool,
}

/// A row of `oauth_storage.authorization_code`.
#[derive(Debug, Clone)]
pub(crate) struct CodeRow {
    pub(crate) grant_id: Uuid,
    pub(crate) consumed: bool,
}

type Key = [u8; 32];

fn key(bytes: &[u8]) -> Result<Key> {
    Ok(bytes.try_into()?)
}

impl Database {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await?;
        // Not to be taken for one of the storage's.
        sqlx::query("SET application_name = 'faults'").execute(&mut connection).await?;
        Ok(Self { connection })
    }

    pub(crate) async fn run(&mut self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection).await?;
        Ok(())
    }

    async fn number(&mut self, sql: &'static str) -> Result<u64> {
        let number: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(number)?)
    }

    /// The tokens of these digests, and of these grants.
    pub(crate) async fn tokens(
        &mut self,
        digests: &[&[u8]],
        grants: &[Uuid],
    ) -> Result<HashMap<Key, TokenRow>> {
        let mut found = HashMap::new();
        let columns = "SELECT digest, grant_id, rotated_at IS NOT NULL AS rotated,
             NOT revoked AND rotated_at IS NULL AND expires_at > statement_timestamp() AS active
             FROM oauth_storage.token";
        let by_digest = format!("{columns} WHERE digest = ANY ($1)");
        let by_grant = format!("{columns} WHERE grant_id = ANY ($1)");
        let mut rows = Vec::new();
        for digests in digests.chunks(CHUNK) {
            let query = sqlx::query(AssertSqlSafe(by_digest.as_str())).bind(digests);
            rows.extend(query.fetch_all(&mut self.connection).await?);
        }
        for grants in grants.chunks(CHUNK) {
            let query = sqlx::query(AssertSqlSafe(by_grant.as_str())).bind(grants);
            rows.extend(query.fetch_all(&mut self.connection).await?);
        }
        for row in rows {
            let token = TokenRow {
                grant_id: row.try_get("grant_id")?,
                active: row.try_get("active")?,
                rotated: row.try_get("rotated")?,
            };
            found.insert(key(row.try_get("digest")?)?, token);
        }
        Ok(found)
    }

    /// The codes of these digests.
    pub(crate) async fn codes(&mut self, digests: &[&[u8]]) -> Result<HashMap<Key, CodeRow>> {
        let mut found = HashMap::new();
        for digests in digests.chunks(CHUNK) {
            let rows = sqlx::query(
                "SELECT digest, grant_id, consumed_at IS NOT NULL AS consumed
                 FROM oauth_storage.authorization_code WHERE digest = ANY ($1)",
            )
            .bind(digests)
            .fetch_all(&mut self.connection)
            .await?;
            for row in rows {
                let code = CodeRow {
                    grant_id: row.try_get("grant_id")?,
                    consumed: row.try_get("consumed")?,
                };
                found.insert(key(row.try_get("digest")?)?, code);
            }
        }
        Ok(found)
    }

    /// Whether the client is there, and disabled.
    pub(crate) async fn client(&mut self, client_id: &str) -> Result<Option<bool>> {
        let sql = "SELECT disabled_at IS NOT NULL FROM oauth_storage.client WHERE client_id = $1";
        Ok(sqlx::query_scalar(sql).bind(client_id).fetch_optional(&mut self.connection).await?)
    }

    /// Sessions of the storage on this database.
    pub(crate) async fn sessions(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'oauth-storage'",
        )
        .await
    }

    /// Sessions that somebody left in a transaction.
    pub(crate) async fn in_transaction(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name <> 'faults'
                 AND state LIKE 'idle in transaction%'
                 AND state_change < clock_timestamp() - interval '500 ms'",
        )
        .await
    }

    /// Sessions of the storage that wait for a lock.
    pub(crate) async fn waiting_for_a_lock(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'oauth-storage'
                 AND wait_event_type = 'Lock'",
        )
        .await
    }

    /// Ends sessions of the storage, at most so many; how many it were.
    pub(crate) async fn terminate(&mut self, most: i64) -> Result<u64> {
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM (
                 SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'oauth-storage'
                 ORDER BY random() LIMIT $1
             ) AS session",
        )
        .bind(most)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(u64::try_from(ended)?)
    }

    /// Deadlocks that the server broke in this database.
    pub(crate) async fn deadlocks(&mut self) -> Result<u64> {
        self.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .await
    }

    /// Codes of the client for which more than one pair was issued. Each refresh token of it is
    /// exchanged once at most, so a grant has one that was not, or more if its code was.
    pub(crate) async fn codes_issued_twice(&mut self, client_id: &str) -> Result<u64> {
        let twice: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (
                 SELECT FROM oauth_storage.token
                 WHERE client_id = $1 AND kind = 'r' AND rotated_at IS NULL
                 GROUP BY grant_id HAVING count(*) > 1
             ) AS twice",
        )
        .bind(client_id)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(u64::try_from(twice)?)
    }

    /// Whether the server is a standby.
    pub(crate) async fn in_recovery(&mut self) -> Result<bool> {
        let sql = "SELECT pg_is_in_recovery()";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    /// How many standbys the server waits for at each commit.
    pub(crate) async fn synchronous_standbys(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')",
        )
        .await
    }

    /// Whether the table, or index, has the column.
    pub(crate) async fn has_column(&mut self, table: &str, column: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1)
             AND attname = $2 AND NOT attisdropped)";
        let query = sqlx::query_scalar(sql).bind(table).bind(column);
        Ok(query.fetch_one(&mut self.connection).await?)
    }

    /// Runs the migrations of a folder, as the crate does with its own.
    pub(crate) async fn migrate(&mut self, folder: &std::path::Path) -> Result<()> {
        let mut migrator = sqlx::migrate::Migrator::new(folder).await?;
        migrator.dangerous_set_table_name("oauth_storage._sqlx_migrations");
        migrator.set_ignore_missing(true);
        Ok(migrator.run_direct(None, &mut self.connection, false).await?)
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}
