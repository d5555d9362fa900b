//! Erasure and purge of sessions.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::end::{BATCH, half};
use crate::error::{Error, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;

impl<C: Connections> PgStorage<C> {
    /// Deletes the sessions of a subject and returns their number.
    pub(in crate::postgres) async fn erase_sessions_of(&self, subject: &str) -> Result<u64> {
        let (mut erased, mut after, mut size) = (0, Some(Uuid::nil()), BATCH);
        while let Some(from) = after {
            let limit = i64::try_from(size).unwrap_or(i64::MAX);
            let rows = self.erase_next_sessions(subject, from, limit).await;
            let Some(rows) = rows.map_err(|error| error.after_commit_if(erased > 0))? else {
                size = half(size).map_err(|error| error.after_commit_if(erased > 0))?;
                continue;
            };
            erased += rows.len() as u64;
            after = rows.last().filter(|_| rows.len() >= size).copied();
        }
        Ok(erased)
    }

    async fn erase_next_sessions(
        &self,
        subject: &str,
        from: Uuid,
        limit: i64,
    ) -> Result<Option<Vec<Uuid>>> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement_unless_cut_off(|connection| {
            sqlx::query_file_scalar!("src/postgres/sql/erase_sessions_of.sql", subject, from, limit)
                .fetch_all(connection)
        })
        .await
    }

    /// Removes expired sessions, and finishes interrupted sign-outs. Returns the number of sessions.
    pub(in crate::postgres) async fn purge_sessions(&self, batch: i64) -> Result<u64> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let purged = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/purge_sessions.sql", batch).execute(connection)
            })
            .await?
            .rows_affected();
        let unfinished = call
            .statement(|connection| {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/find_unfinished_sign_outs.sql",
                    batch.min(100)
                )
                .fetch_all(connection)
            })
            .await;
        drop(call);
        let unfinished = unfinished.map_err(|error| error.after_commit_if(purged > 0))?;
        for sid in &unfinished {
            let revoked = self.revoke_grants_of_session(*sid, BTreeSet::new()).await;
            let (revoked, _) = revoked.map_err(|error| error.after_commit_if(purged > 0))?;
            self.meters().revoked("purge_expired", revoked);
        }
        if unfinished.is_empty() {
            return Ok(purged);
        }
        let finished =
            self.delete_ended_sessions(&unfinished).await.map_err(Error::after_commit)?;
        Ok(purged + finished.len() as u64)
    }
}
