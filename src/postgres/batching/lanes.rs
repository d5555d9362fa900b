//! Batching over a few dedicated connections (flat combining).
//!
//! A lane is a task with its own connection. An idle lane takes a queued call at once. A lane that
//! becomes free takes all waiting calls of one statement as a batch. So a single call costs one
//! round trip, and concurrent calls share the round trip and the commit.
//!
//! The statement runs on the lane's task, so a dropped caller does not interrupt it. Reads have
//! their own lanes, because they must not wait behind commits.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::Statement;
use super::aside::Aside;
use super::queue::{LaneGuard, Place, Queue};
use super::queued::Waiting;
use super::standby::Standby;
use crate::error::{Error, Result};
use crate::postgres::error::{Effect, connect_error};
use crate::postgres::telemetry;

/// Idle time after which a lane pings its connection before use.
const IDLE: Duration = Duration::from_secs(1);
/// Time limit of the ping.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limit for replacing an old connection, whose lane serves no calls meanwhile.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failed replacement.
const REPLACE_PAUSE: Duration = Duration::from_secs(30);

/// The first and the longest pause between attempts to connect. Each is twice the one before.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The lanes of a storage. They end when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Inner>);

struct Inner {
    reads: Arc<Queue>,
    writes: Arc<Queue>,
    aside: Aside,
    deadline: Duration,
}

impl Lanes {
    /// Starts `each` lanes for reads and as many for writes. At most `queue` calls wait for each
    /// kind.
    pub(super) fn start(connector: &Connector, each: u32, queue: usize) -> Self {
        let start = |effect| {
            let standby = Arc::new(Standby::new(each));
            let queue = Arc::new(Queue::new(effect, queue, each, connector.is_cluster));
            for lane in 0..each {
                // Lanes of one kind must not all reconnect at the same time.
                let share = 1.0 - 0.2 * f64::from(lane) / f64::from(each);
                let max_lifetime = connector.max_lifetime.mul_f64(share);
                let connector = Connector { max_lifetime, ..connector.clone() };
                let guard = LaneGuard(Arc::clone(&queue));
                tokio::spawn(supervise_lane(guard, connector, Arc::clone(&standby)));
            }
            queue
        };
        let deadline = connector.deadline;
        let (reads, writes) = (start(Effect::Read), start(Effect::Write));
        Self(Arc::new(Inner { reads, writes, aside: connector.aside.clone(), deadline }))
    }

    /// Runs a statement for one caller, alone or in a batch with others.
    pub(super) fn run<O: Statement>(
        &self,
        statement: O,
    ) -> impl Future<Output = Result<O::Outcome>> + Send {
        let queue = match O::EFFECT {
            Effect::Read => &self.0.reads,
            Effect::Write => &self.0.writes,
        };
        let deadline = self.0.deadline;
        let until = Instant::now() + deadline;
        let (answer, mut outcome) = oneshot::channel();
        let call = Box::new(Waiting::new(statement, answer, until));
        async move {
            let mut place = Place::new(queue, queue.push(call)?);
            let answered = match timeout_at(until, &mut outcome).await {
                Ok(Ok(outcome)) => outcome,
                // The lane panicked, or the runtime is shutting down.
                Ok(Err(_)) => Err(O::EFFECT.interrupted("the lane ended".into())),
                // The answer may have just arrived. Otherwise the call is withdrawn, unless a lane
                // is running it.
                Err(_) => match outcome.try_recv() {
                    Ok(outcome) => outcome,
                    Err(_) => Err(place.give_up().unwrap_or_else(|| {
                        O::EFFECT.interrupted(format!("no answer within {deadline:?}"))
                    })),
                },
            };
            place.answered();
            answered
        }
    }

    /// Closes the queues; waiting calls still run. Returns when no call waits for a lock.
    pub(super) async fn close(&self) {
        self.0.reads.close();
        self.0.writes.close();
        self.0.aside.finish(self.0.deadline).await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("deadline", &self.0.deadline).finish_non_exhaustive()
    }
}

/// The options for connecting lanes.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) options: PgConnectOptions,
    pub(super) deadline: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) aside: Aside,
    pub(super) is_cluster: bool,
}

impl Connector {
    async fn connect(&self, within: Duration) -> Result<PgConnection> {
        match timeout(within, self.options.connect()).await {
            Ok(connected) => connected.map_err(connect_error),
            Err(_) => Err(Error::Unavailable {
                message: format!("the server did not answer within {within:?}"),
                source: None,
            }),
        }
    }
}

/// The reason why a connection takes no more batches.
enum Ended {
    Closed,
    Broke,
    Aged,
}

/// Runs a lane, and restarts it if it panics. The callers of its batch get an error.
async fn supervise_lane(guard: LaneGuard, connector: Connector, standby: Arc<Standby>) {
    let run = || run_lane(Arc::clone(&guard.0), connector.clone(), Arc::clone(&standby));
    while tokio::spawn(run()).await.is_err() {}
}

/// Connects, runs batches, and reconnects when the connection breaks or becomes too old.
async fn run_lane(queue: Arc<Queue>, connector: Connector, standby: Arc<Standby>) {
    while let Some(mut connection) = connect(&queue, &connector).await {
        let connected = queue.connected();
        let mut until = Instant::now() + connector.max_lifetime;
        loop {
            match run_batches(&queue, &connector.aside, &standby, &mut connection, until).await {
                Ended::Closed => return close(connection).await,
                Ended::Broke => break,
                Ended::Aged => {
                    match connector.connect(REPLACE_TIMEOUT.min(connector.deadline)).await {
                        Ok(next) => {
                            tokio::spawn(close(std::mem::replace(&mut connection, next)));
                            until = Instant::now() + connector.max_lifetime;
                        }
                        // An old connection is better than none.
                        Err(error) => {
                            tracing::warn!(%error, "a lane keeps its old connection");
                            until = Instant::now() + REPLACE_PAUSE;
                        }
                    }
                }
            }
        }
        drop(connected);
        queue.meter.broke();
    }
}

/// Closes the connection, waiting at most a second for an unresponsive server.
async fn close(connection: PgConnection) {
    let _ = timeout(Duration::from_secs(1), connection.close()).await;
}

/// Runs batches until the connection reaches its maximum age.
async fn run_batches(
    queue: &Arc<Queue>,
    aside: &Aside,
    standby: &Standby,
    connection: &mut PgConnection,
    until: Instant,
) -> Ended {
    let mut used = Instant::now();
    let mut batches = telemetry::Batches::default();
    while used < until {
        let Ok(batch) = timeout_at(until, queue.take()).await else { break };
        let Some(mut batch) = batch else { return Ended::Closed };
        // Ping first: if the idle connection broke, a write would end as `OutcomeUnknown`. Nothing
        // has been sent yet, so the batch can go to the next connection.
        if used.elapsed() > IDLE
            && !matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(())))
        {
            batch.put_back();
            return Ended::Broke;
        }
        let (size, statement) = batch.size();
        batches.record(statement, size);
        let at_work = queue.meter.at_work();
        let ran = batch.run(connection).await;
        drop(at_work);
        let is_broken = ran.is_broken || ran.is_standby && standby.replaces();
        for (ticket, until) in batch.settle(ran) {
            aside.wait(queue, ticket, until);
        }
        if is_broken {
            return Ended::Broke;
        }
        used = Instant::now();
        // Yield, so that the callers that were just answered can join the next batch. After a
        // single call this would only wake another thread.
        if size > 1 {
            tokio::task::yield_now().await;
        }
    }
    // The last batch may have made calls ready.
    queue.wake();
    Ended::Aged
}

/// Connects, retrying until it succeeds. Returns `None` if the storage is closed and no call waits.
async fn connect(queue: &Queue, connector: &Connector) -> Option<PgConnection> {
    let mut pause = BACK_OFF.0;
    while queue.needs_lane() {
        let error = match connector.connect(connector.deadline).await {
            Ok(connection) => return Some(connection),
            Err(error) => error,
        };
        queue.cannot_connect(&error);
        tracing::warn!(%error, ?pause, "a lane cannot connect");
        tokio::time::sleep(pause).await;
        pause = BACK_OFF.1.min(pause * 2);
    }
    None
}
