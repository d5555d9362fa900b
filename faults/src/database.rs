//! All SQL of the suite, on a plain connection beside the storage: rows for the verdict, and the
//! state of the server.
#![allow(
    clippy::disallowed_methods,
    reason = "it reads the tables directly, in schemas that the compiler cannot check"
)]

use std::collections::HashMap;

use oauth_storage::backend::TokenHash;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, FromRow as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::error::Result;

/// The number of keys in a statement.
const CHUNK: usize = 10_000;

pub(crate) struct Database {
    connection: PgConnection,
}

/// A row of `oauth_storage.token`.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    pub(crate) grant_id: Uuid,
    /// By the columns of the token and those of its grant.
    pub(crate) active: bool,
    pub(crate) rotated: bool,
}

/// A row of `oauth_storage.authorization_code`.
#[derive(Debug, Clone)]
pub(crate) struct CodeRow {
    pub(crate) grant_id: Uuid,
    pub(crate) consumed: bool,
}

/// A row of `oauth_storage.authorization_grant`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GrantRow {
    pub(crate) revoked: bool,
}

/// A whole digest, which the tables keep as two halves.
pub(crate) type Key = [u8; 32];

fn key(row: &PgRow) -> Result<Key> {
    let (head, tail): (Uuid, Uuid) = (row.try_get("digest")?, row.try_get("digest_tail")?);
    Ok([*head.as_bytes(), *tail.as_bytes()].concat().as_slice().try_into()?)
}

/// The first half of a digest, the key of its row.
fn head(digest: &TokenHash) -> Uuid {
    let mut head = [0; 16];
    head.copy_from_slice(&digest.as_bytes()[..16]);
    Uuid::from_bytes(head)
}

impl Database {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await?;
        // Distinguishes it from the connections of the storage.
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

    /// The rows of a statement whose parameter is an array of UUIDs, in chunks.
    async fn rows(&mut self, sql: &'static str, keys: &[Uuid]) -> Result<Vec<PgRow>> {
        let mut rows = Vec::new();
        for keys in keys.chunks(CHUNK) {
            let query = sqlx::query(sql).bind(keys);
            rows.extend(query.fetch_all(&mut self.connection).await?);
        }
        Ok(rows)
    }

    /// The tokens of these digests.
    pub(crate) async fn tokens(&mut self, digests: &[TokenHash]) -> Result<HashMap<Key, TokenRow>> {
        let heads: Vec<Uuid> = digests.iter().map(head).collect();
        let sql = "SELECT t.digest, t.digest_tail, t.grant_id, t.rotated_at IS NOT NULL AS rotated,
                 g.revoked_at IS NULL AND g.grant_id IS NOT NULL AND NOT t.revoked
                     AND t.rotated_at IS NULL AND t.expires_at > statement_timestamp() AS active
             FROM oauth_storage.token AS t
             LEFT JOIN oauth_storage.authorization_grant AS g USING (grant_id)
             WHERE t.digest = ANY ($1)";
        let rows = self.rows(sql, &heads).await?;
        rows.iter()
            .map(|row| {
                let token = TokenRow {
                    grant_id: row.try_get("grant_id")?,
                    active: row.try_get("active")?,
                    rotated: row.try_get("rotated")?,
                };
                Ok((key(row)?, token))
            })
            .collect()
    }

    /// The codes of these digests.
    pub(crate) async fn codes(&mut self, digests: &[TokenHash]) -> Result<HashMap<Key, CodeRow>> {
        let heads: Vec<Uuid> = digests.iter().map(head).collect();
        let sql = "SELECT digest, digest_tail, grant_id, consumed_at IS NOT NULL AS consumed
             FROM oauth_storage.authorization_code WHERE digest = ANY ($1)";
        let rows = self.rows(sql, &heads).await?;
        rows.iter()
            .map(|row| {
                let code = CodeRow {
                    grant_id: row.try_get("grant_id")?,
                    consumed: row.try_get("consumed")?,
                };
                Ok((key(row)?, code))
            })
            .collect()
    }

    /// These grants.
    pub(crate) async fn grants(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, GrantRow>> {
        let sql = "SELECT grant_id, revoked_at IS NOT NULL AS revoked
             FROM oauth_storage.authorization_grant WHERE grant_id = ANY ($1)";
        let rows = self.rows(sql, ids).await?;
        rows.iter()
            .map(|row| {
                Ok((row.try_get("grant_id")?, GrantRow { revoked: row.try_get("revoked")? }))
            })
            .collect()
    }

    /// The number of tokens of each of these grants that has any. It reads the whole table, which has
    /// no index on the grant, so all grants are in one statement.
    pub(crate) async fn tokens_of_grants(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
        let sql = "SELECT grant_id, count(*) FROM oauth_storage.token
             WHERE grant_id = ANY ($1) GROUP BY grant_id";
        let rows = sqlx::query(sql).bind(ids).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok(<(Uuid, i64)>::from_row(row)?)).collect()
    }

    /// The client: `Some(true)` if it is disabled, `None` if it is not stored.
    pub(crate) async fn client(&mut self, client_id: &str) -> Result<Option<bool>> {
        let sql = "SELECT disabled_at IS NOT NULL FROM oauth_storage.client WHERE client_id = $1";
        Ok(sqlx::query_scalar(sql).bind(client_id).fetch_optional(&mut self.connection).await?)
    }

    /// The number of sessions of the storage on this database.
    pub(crate) async fn sessions(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'oauth-storage'",
        )
        .await
    }

    /// The number of sessions that are idle in a transaction.
    pub(crate) async fn in_transaction(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name <> 'faults'
                 AND state LIKE 'idle in transaction%'
                 AND state_change < clock_timestamp() - interval '500 ms'",
        )
        .await
    }

    /// The time of the server.
    pub(crate) async fn now(&mut self) -> Result<String> {
        let sql = "SELECT clock_timestamp()::text";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    /// The number of sessions of the storage that began a statement since then.
    pub(crate) async fn sessions_used_since(&mut self, time: &str) -> Result<u64> {
        let used: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'oauth-storage'
                 AND query_start > $1::text::timestamptz",
        )
        .bind(time)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(u64::try_from(used)?)
    }

    /// Terminates at most so many sessions of the storage, and returns how many.
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

    /// The number of deadlocks in this database.
    pub(crate) async fn deadlocks(&mut self) -> Result<u64> {
        self.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .await
    }

    /// The number of codes of a redirect URI for which more than one pair was issued. Each of their
    /// refresh tokens is exchanged at most once, so a code that was redeemed once has one refresh
    /// token that was not exchanged.
    pub(crate) async fn codes_issued_twice(&mut self, redirect_uri: &str) -> Result<u64> {
        let twice: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (
                 SELECT FROM oauth_storage.authorization_code
                 JOIN oauth_storage.token USING (grant_id)
                 WHERE redirect_uri = $1 AND kind = 'r' AND rotated_at IS NULL
                 GROUP BY grant_id HAVING count(*) > 1
             ) AS twice",
        )
        .bind(redirect_uri)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(u64::try_from(twice)?)
    }

    /// Returns true if the server is a standby.
    pub(crate) async fn in_recovery(&mut self) -> Result<bool> {
        let sql = "SELECT pg_is_in_recovery()";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?)
    }

    /// The number of standbys that each commit waits for.
    pub(crate) async fn synchronous_standbys(&mut self) -> Result<u64> {
        self.number(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')",
        )
        .await
    }

    /// Returns true if the table, or index, has the column.
    pub(crate) async fn has_column(&mut self, table: &str, column: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1)
             AND attname = $2 AND NOT attisdropped)";
        let query = sqlx::query_scalar(sql).bind(table).bind(column);
        Ok(query.fetch_one(&mut self.connection).await?)
    }

    /// Runs the migrations of a folder, as the crate runs its own.
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
