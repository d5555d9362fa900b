use sqlx::PgConnection;

use crate::error::{Error, Result};
use crate::model::check_client_id;
use crate::postgres::PgStorage;
use crate::postgres::error::{Effect, is_of_many_shards};
use crate::postgres::executor::Connections;

/// Rows of one statement, so that no lock is held for long.
const BATCH: i64 = 10_000;

impl<C: Connections> PgStorage<C> {
    pub(super) async fn delete_client_and_credentials(&self, client_id: &str) -> Result<bool> {
        if check_client_id(client_id).is_err() {
            return Ok(false);
        }
        // The client goes first: nothing new is issued to it from then on. What is in flight
        // holds its row, or that of a token which the next look still finds. Called again after
        // an unknown outcome, it goes on where it was.
        let mut call = self.connections.begin(Effect::Write).await?;
        let done = call
            .statement(|connection| {
                sqlx::query!("DELETE FROM oauth_storage.client WHERE client_id = $1", client_id)
                    .execute(connection)
            })
            .await?;
        drop(call);
        // From here on something is done, whatever becomes of the rest.
        while self.delete_credentials(client_id).await.map_err(Error::after_commit)? {}
        Ok(done.rows_affected() > 0)
    }

    /// Deletes some codes and tokens of a client; whether it saw any, and so has to look again.
    async fn delete_credentials(&self, client_id: &str) -> Result<bool> {
        match self.delete_at_once(client_id).await {
            Err(error) if is_of_many_shards(&error) => {
                self.delete_on_shards(client_id, BATCH).await
            }
            deleted => deleted,
        }
    }

    async fn delete_at_once(&self, client_id: &str) -> Result<bool> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement(|connection: &mut PgConnection| {
            sqlx::query_scalar!(
                r#"
                WITH seen_code AS MATERIALIZED (
                    SELECT digest
                    FROM oauth_storage.authorization_code
                    WHERE client_id = $1
                    LIMIT $2
                ), code AS MATERIALIZED (
                    SELECT digest
                    FROM seen_code
                    JOIN oauth_storage.authorization_code AS code USING (digest)
                    ORDER BY digest
                    FOR UPDATE OF code
                ), seen_token AS MATERIALIZED (
                    SELECT digest
                    FROM oauth_storage.token
                    WHERE client_id = $1
                    LIMIT $2
                ), token AS MATERIALIZED (
                    SELECT digest
                    FROM seen_token
                    JOIN oauth_storage.token USING (digest)
                    WHERE (SELECT count(*) FROM code) >= 0
                    ORDER BY digest
                    FOR UPDATE OF token
                ), deleted_code AS (
                    DELETE FROM oauth_storage.authorization_code AS row
                    USING code
                    WHERE row.digest = code.digest
                ), deleted_token AS (
                    DELETE FROM oauth_storage.token AS row
                    USING token
                    WHERE row.digest = token.digest
                )
                SELECT EXISTS (SELECT FROM seen_code) OR EXISTS (SELECT FROM seen_token) AS "seen!"
                "#,
                client_id,
                BATCH,
            )
            .fetch_one(connection)
        })
        .await
    }
}
