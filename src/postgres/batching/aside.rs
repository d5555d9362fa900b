//! Calls that wait for a lock that somebody holds, each on a connection of its own.
//!
//! A lane waits for a lock only shortly. The call then leaves the lanes, so that it occupies nobody
//! else. It keeps its key, because the next call for the same row would hold up a lane again.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::queue::{Queue, runtime_ended, still_locked};
use super::schedule::Ticket;
use super::{Call, Pooled, Statement, no_outcome, refused_or, run_statement};
use crate::error::Result;
use crate::postgres::error::Effect;

/// Runs calls that wait for locks, on the pool, which keeps one connection for what else runs there. A
/// pool of one connection is shared.
#[derive(Clone)]
pub(super) struct Aside {
    pool: Pooled,
    permits: Arc<Semaphore>,
    most: u32,
}

impl Aside {
    pub(super) fn new(pool: Pooled) -> Self {
        let most = pool.pool().options().get_max_connections().saturating_sub(1).max(1);
        Self { pool, permits: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Lets a call wait, in a task of its own.
    pub(super) fn wait(&self, queue: &Arc<Queue>, ticket: Ticket, until: Instant) {
        let waits = Waits { queue: Arc::clone(queue), ticket };
        let aside = self.clone();
        tokio::spawn(async move {
            if let Err(error) = aside.run(&waits, until).await {
                waits.queue.end_aside(ticket, error);
            }
        });
    }

    async fn run(&self, waits: &Waits, until: Instant) -> Result<()> {
        let Ok(permit) = timeout_at(until, self.permits.acquire()).await else {
            return Err(still_locked());
        };
        let mut call = self.pool.begin_until(until, Effect::Write).await?;
        if let Some(waiting) = waits.queue.take_aside(waits.ticket) {
            waiting.run_aside(&mut call, self.pool.is_cluster).await;
        }
        drop(call);
        drop(permit);
        Ok(())
    }

    /// Waits until the calls that are here now are done, so that the pool may be closed.
    pub(super) async fn finish(&self, within: Duration) {
        let _ = timeout(within, self.permits.acquire_many(self.most)).await;
    }
}

impl Call<'_> {
    /// Runs an statement alone, with as much patience as is left for locks. The server gives up a
    /// little before the deadline, so that nothing takes effect after the caller was told.
    pub(super) async fn run_aside<O: Statement>(
        &mut self,
        statement: &O,
        until: Instant,
        is_cluster: bool,
    ) -> Result<O::Outcome> {
        self.effect = O::EFFECT;
        let batch = std::slice::from_ref(statement);
        let limit = server_limit(until.saturating_duration_since(Instant::now())).as_millis();
        // In a transaction, so that the limits end with it, even where a pooler hands out sessions.
        // It runs in a task of its own, where no caller that goes away cuts it off.
        let begin = format!(
            "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {}",
            limit.max(1)
        );
        let ran = self.within_deadline(async |connection| {
            let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
            match run_statement(&mut transaction, batch, is_cluster).await {
                Ok(outcomes) => transaction.commit().await.map(|()| outcomes),
                Err(error) => {
                    // If this fails, too, so does the next statement on the connection.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            }
        });
        let mut outcomes = ran.await?.map_err(|error| refused_or(statement, &error))?;
        outcomes.pop().ok_or_else(no_outcome)
    }
}

/// The time limit of the server for a statement whose caller waits so long: a little less, so that the
/// answer arrives in time.
pub(in crate::postgres) fn server_limit(patience: Duration) -> Duration {
    patience - (patience / 10).min(Duration::from_millis(500))
}

/// A call beside the lanes. Whatever becomes of its task, its key is free afterwards.
struct Waits {
    queue: Arc<Queue>,
    ticket: Ticket,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.queue.end_aside(self.ticket, runtime_ended());
    }
}
