use crate::error::Result;
use crate::model::Purged;
use crate::postgres::PgStorage;
use crate::postgres::error::{Effect, is_of_many_shards};
use crate::postgres::executor::Connections;
use crate::storage::check_batch;

impl<C: Connections> PgStorage<C> {
    pub(super) async fn purge_batch(&self, limit: usize) -> Result<Purged> {
        let batch = check_batch(limit)?;
        match self.purge_at_once(batch).await {
            Err(error) if is_of_many_shards(&error) => self.purge_on_shards(batch).await,
            purged => purged,
        }
    }

    async fn purge_at_once(&self, batch: i64) -> Result<Purged> {
        let mut call = self.connections.begin(Effect::Write).await?;
        // SKIP LOCKED: another node's purge takes other rows, and a row that is in use waits for
        // the next batch. The index is by ten seconds; a row stays until its own moment. A locked
        // row stays where it is, so its ctid may name it.
        let row = call
            .statement(|connection| {
                sqlx::query!(
                    r#"
                    WITH token AS (
                        DELETE FROM oauth_storage.token
                        WHERE ctid = ANY (ARRAY (
                            SELECT ctid
                            FROM oauth_storage.token
                            WHERE date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                                    <= statement_timestamp()
                                AND expires_at <= statement_timestamp()
                            ORDER BY date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                            LIMIT $1
                            FOR UPDATE SKIP LOCKED
                        ))
                        RETURNING 1
                    ), code AS (
                        DELETE FROM oauth_storage.authorization_code
                        WHERE ctid = ANY (ARRAY (
                            SELECT ctid
                            FROM oauth_storage.authorization_code
                            WHERE date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                                    <= statement_timestamp()
                                AND expires_at <= statement_timestamp()
                            ORDER BY date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00')
                            LIMIT $1
                            FOR UPDATE SKIP LOCKED
                        ))
                        RETURNING 1
                    )
                    SELECT
                        (SELECT count(*) FROM token) AS "tokens!",
                        (SELECT count(*) FROM code) AS "authorization_codes!"
                    "#,
                    batch,
                )
                .fetch_one(connection)
            })
            .await?;
        Ok(Purged {
            tokens: u64::try_from(row.tokens).unwrap_or_default(),
            authorization_codes: u64::try_from(row.authorization_codes).unwrap_or_default(),
            more: row.tokens >= batch || row.authorization_codes >= batch,
        })
    }
}
