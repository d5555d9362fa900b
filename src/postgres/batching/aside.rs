//! Calls that wait for a lock, each on a connection of the pool.
//!
//! A lane waits for a lock only briefly. The call then leaves the lanes, so that it does not block
//! other calls. It keeps its key, because the next call for the same row would block a lane again.

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

/// Runs calls that wait for locks, on the pool. One connection stays free for other calls, unless
/// the pool has only one.
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

    /// Spawns a task in which a call waits for its lock.
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

    /// Waits until the current calls are done, so that the pool can be closed.
    pub(super) async fn finish(&self, within: Duration) {
        let _ = timeout(within, self.permits.acquire_many(self.most)).await;
    }
}

impl Call<'_> {
    /// Runs a statement alone, waiting for locks until the deadline. The server gives up slightly
    /// earlier, so that nothing takes effect after the call has failed.
    pub(super) async fn run_aside<O: Statement>(
        &mut self,
        statement: &O,
        until: Instant,
        is_cluster: bool,
    ) -> Result<O::Outcome> {
        self.effect = O::EFFECT;
        let batch = std::slice::from_ref(statement);
        let limit = server_limit(until.saturating_duration_since(Instant::now())).as_millis();
        // In a transaction, so that the limits end with it even behind a pooler. A dropped caller
        // does not interrupt it, because it runs in its own task.
        let begin = format!(
            "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {}",
            limit.max(1)
        );
        let ran = self.within_deadline(async |connection| {
            let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
            match run_statement(&mut transaction, batch, is_cluster).await {
                Ok(outcomes) => transaction.commit().await.map(|()| outcomes),
                Err(error) => {
                    // If the rollback fails as well, so does the next statement on the connection.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            }
        });
        let mut outcomes = ran.await?.map_err(|error| refused_or(statement, &error))?;
        outcomes.pop().ok_or_else(no_outcome)
    }
}

/// Returns the server's time limit for a caller with this much patience: slightly less, so that the
/// answer arrives in time.
pub(in crate::postgres) fn server_limit(patience: Duration) -> Duration {
    patience - (patience / 10).min(Duration::from_millis(500))
}

/// A call that waits outside the lanes. Its key is freed on drop, whatever happens to its task.
struct Waits {
    queue: Arc<Queue>,
    ticket: Ticket,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.queue.end_aside(self.ticket, runtime_ended());
    }
}
