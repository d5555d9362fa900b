//! What is done otherwise where the rows are on the shards of a Citus cluster.
//!
//! There a statement locks (`FOR UPDATE`) rows of one shard only, so none can take many locks in one
//! order. Revocation and deletion change one row a statement instead, which waits for nothing while
//! it holds that. Why, and why the purge may do otherwise: DESIGN.md, "Past one machine".

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::model::Purged;
use crate::postgres::PgStorage;
use crate::postgres::error::Effect;
use crate::postgres::executor::{Connections, Operation};
use crate::postgres::grant::{Owner, Unrevoked};
use crate::postgres::token::NamedToken;

/// Between two looks at what the nodes have yet to commit.
const PAUSE: Duration = Duration::from_millis(10);

/// How long to wait for them. What a node that failed has prepared stays until Citus recovers it, a
/// minute by default: longer than a caller should wait.
const PATIENCE: Duration = Duration::from_secs(5);

impl<C: Connections> PgStorage<C> {
    pub(super) async fn revoke_token_on_shards(&self, named: &NamedToken) -> Result<()> {
        if !self.revoke_found(named).await? {
            // It may have been issued, on a node that has yet to commit it.
            self.settle().await?;
            self.revoke_found(named).await?;
        }
        Ok(())
    }

    /// There is no snapshot of all shards: a look may see a token spent, and not its successor yet.
    /// So it goes on until a look shows nothing that began when the nodes had committed what the
    /// look before, which saw all, may have seen half of.
    pub(super) async fn revoke_all_on_shards(
        &self,
        owner: Owner<'_>,
        mut seen: Unrevoked,
    ) -> Result<u64> {
        let mut sum = 0;
        loop {
            // Each change is a commit of its own: an error halfway leaves some done.
            let revoked = async {
                self.change_each(Change::RevokeCode, &seen.codes).await?;
                let revoked = self.change_each(Change::RevokeToken, &seen.tokens).await?;
                self.settle().await?;
                Ok((revoked, self.unrevoked(owner).await?))
            };
            let (revoked, next) = revoked.await.map_err(Error::after_commit)?;
            sum += revoked;
            if next.is_empty() && !seen.is_cut() {
                return Ok(sum);
            }
            seen = next;
        }
    }

    /// Deletes some codes and tokens of a client; whether it saw any, and so has to look again.
    pub(super) async fn delete_on_shards(&self, client_id: &str, limit: i64) -> Result<bool> {
        // What was issued of a row that is gone by now. A spent code is listed here, too, so one look
        // after the wait is enough.
        self.settle().await?;
        let mut call = self.connections.begin(Effect::Read).await?;
        let seen = call.statement(|connection| {
            sqlx::query!(
                r#"
                SELECT
                    ARRAY (
                        SELECT digest FROM oauth_storage.authorization_code
                        WHERE client_id = $1 LIMIT $2
                    ) AS "codes!",
                    ARRAY (
                        SELECT digest FROM oauth_storage.token WHERE client_id = $1 LIMIT $2
                    ) AS "tokens!"
                "#,
                client_id,
                limit,
            )
            .fetch_one(connection)
        });
        let seen = seen.await?;
        drop(call);
        self.change_each(Change::DeleteCode, &seen.codes).await?;
        self.change_each(Change::DeleteToken, &seen.tokens).await?;
        Ok(!seen.codes.is_empty() || !seen.tokens.is_empty())
    }

    /// How many it changed.
    async fn change_each(&self, change: Change, digests: &[Vec<u8>]) -> Result<u64> {
        let mut changed = 0;
        for digest in digests {
            let mut call = self.connections.begin(Effect::Write).await?;
            changed += call.statement(|connection| change.run(connection, digest)).await?;
        }
        Ok(changed)
    }

    /// Removes expired rows, `batch` of each table at most. Citus has no SKIP LOCKED over shards, so
    /// of several purges at the same time one waits for the other.
    pub(super) async fn purge_on_shards(&self, batch: i64) -> Result<Purged> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let row = call.statement(|connection| {
            sqlx::query!(
                r#"
                WITH seen_token AS MATERIALIZED (
                    SELECT digest
                    FROM oauth_storage.token
                    WHERE date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                            <= statement_timestamp()
                        AND expires_at <= statement_timestamp()
                    ORDER BY date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                    LIMIT $1
                ), seen_code AS MATERIALIZED (
                    SELECT digest
                    FROM oauth_storage.authorization_code
                    WHERE date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                            <= statement_timestamp()
                        AND expires_at <= statement_timestamp()
                    ORDER BY date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                    LIMIT $1
                ), token AS (
                    DELETE FROM oauth_storage.token AS row
                    USING seen_token AS seen
                    WHERE row.digest = seen.digest
                    RETURNING row.digest
                ), code AS (
                    DELETE FROM oauth_storage.authorization_code AS row
                    USING seen_code AS seen
                    WHERE row.digest = seen.digest
                    RETURNING row.digest
                )
                SELECT
                    (SELECT count(*) FROM token) AS "tokens!",
                    (SELECT count(*) FROM code) AS "authorization_codes!",
                    (SELECT count(*) FROM seen_token) >= $1
                        OR (SELECT count(*) FROM seen_code) >= $1 AS "more!"
                "#,
                batch,
            )
            .fetch_one(connection)
        });
        let row = row.await?;
        Ok(Purged {
            tokens: u64::try_from(row.tokens).unwrap_or_default(),
            authorization_codes: u64::try_from(row.authorization_codes).unwrap_or_default(),
            more: row.more,
        })
    }

    /// Waits for what the nodes are about to commit. A commit of several nodes is seen on one before
    /// another; but it is prepared on all of them before it is seen on any, and prepared until it is
    /// seen. So what a look saw a half of, the next look after this sees whole.
    pub(super) async fn settle(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let list = async || {
            let listed = self.connections.run(ListPrepared).await?;
            listed.map_err(|message| Error::Unavailable { message, source: None })
        };
        let mut before = list().await?;
        while !before.is_empty() {
            if Instant::now() > until {
                return Err(Error::Unavailable {
                    message: format!("the nodes have yet to commit {}", before.join(" ")),
                    source: None,
                });
            }
            tokio::time::sleep(PAUSE).await;
            let still = list().await?;
            before.retain(|name| still.contains(name));
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Change {
    RevokeCode,
    RevokeToken,
    DeleteCode,
    DeleteToken,
}

impl Change {
    async fn run(self, connection: &mut PgConnection, digest: &[u8]) -> sqlx::Result<u64> {
        let statement = match self {
            Self::RevokeCode => sqlx::query!(
                "UPDATE oauth_storage.authorization_code SET revoked = true
                 WHERE digest = $1 AND consumed_at IS NULL",
                digest,
            ),
            Self::RevokeToken => sqlx::query!(
                "UPDATE oauth_storage.token SET revoked = true WHERE digest = $1 AND NOT revoked",
                digest,
            ),
            Self::DeleteCode => sqlx::query!(
                "DELETE FROM oauth_storage.authorization_code WHERE digest = $1",
                digest,
            ),
            Self::DeleteToken => {
                sqlx::query!("DELETE FROM oauth_storage.token WHERE digest = $1", digest)
            }
        };
        statement.execute(connection).await.map(|done| done.rows_affected())
    }
}

/// The names of the cluster's transactions that are prepared on a node. Callers that wait at the
/// same time share a look.
struct ListPrepared;

impl Operation for ListPrepared {
    /// What a node says that does not answer it, otherwise.
    type Outcome = std::result::Result<Vec<String>, String>;
    const NAME: &'static str = "list_prepared";
    const EFFECT: Effect = Effect::Read;

    #[allow(
        clippy::disallowed_methods,
        reason = "Citus has the function: no schema here checks it"
    )]
    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let nodes: Vec<(bool, String)> = sqlx::query_as(
            "SELECT success, result FROM run_command_on_all_nodes($$
                 SELECT coalesce(string_agg(gid, ' '), '') FROM pg_catalog.pg_prepared_xacts
                 WHERE database = current_database() AND starts_with(gid, 'citus_')
             $$)",
        )
        .fetch_all(connection)
        .await?;
        let listed = match nodes.iter().find(|(success, _)| !success) {
            Some((_, message)) => Err(message.clone()),
            None => Ok(nodes
                .iter()
                .flat_map(|(_, names)| names.split_whitespace().map(str::to_owned))
                .collect()),
        };
        Ok(vec![listed; batch.len()])
    }
}
