//! Erasure and purge of sessions.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::end::BATCH;
use crate::error::{Error, Result};
use crate::grant::Purged;
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::grant::half;

/// The number of interrupted sign-outs that a purge finishes.
const UNFINISHED: i64 = 100;

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

    /// Removes expired sessions, and finishes interrupted sign-outs. One that cannot be finished is logged, so
    /// that it keeps neither the others nor the rest of the purge.
    pub(in crate::postgres) async fn purge_sessions(&self, batch: i64) -> Result<Purged> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let expired = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/purge_sessions.sql", batch).execute(connection)
            })
            .await?
            .rows_affected();
        let limit = batch.min(UNFINISHED);
        let unfinished = call
            .statement(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/find_unfinished_sign_outs.sql", limit)
                    .fetch_all(connection)
            })
            .await;
        drop(call);
        let unfinished = unfinished.map_err(|error| error.after_commit_if(expired > 0))?;
        let (mut finished, mut failed) = (Vec::new(), false);
        for sid in &unfinished {
            match self.revoke_grants_of_session(*sid, BTreeSet::new()).await {
                Ok((revoked, _)) => {
                    self.meters().revoked("purge_expired", revoked);
                    finished.push(*sid);
                }
                Err(error) => {
                    // It took up to the deadline. The next purge begins with another one.
                    tracing::warn!(%error, %sid, "a sign-out cannot be finished");
                    failed = true;
                    break;
                }
            }
        }
        let mut purged = Purged { sessions: expired, ..Purged::default() };
        if !finished.is_empty() {
            let deleted = self.delete_ended_sessions(&finished).await;
            purged.sessions += deleted.map_err(Error::after_commit)?.len() as u64;
        }
        let is_full = |rows: usize| i64::try_from(rows).is_ok_and(|rows| rows >= limit);
        purged.more = i64::try_from(expired).is_ok_and(|expired| expired >= batch)
            || is_full(unfinished.len()) && !failed;
        Ok(purged)
    }
}
