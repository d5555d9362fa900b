//! Flat combining over a few dedicated connections.
//!
//! A lane is a task with a connection of its own. A call goes into a queue; a lane that is idle takes
//! it at once, and one that frees later takes all waiting calls of one statement as one statement. So
//! a caller alone pays one round trip, and many callers share the round trip and the commit.
//!
//! The statement runs on the lane's task: a caller that goes away stops nothing. Reads have lanes of
//! their own, for they must not wait behind commits.

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
use super::queue::{Kept, Place, Queue};
use super::queued::Waiting;
use crate::error::{Error, Result};
use crate::postgres::error::{Effect, connect_error};
use crate::postgres::telemetry;

/// After as long without work a lane makes sure of its connection, which may take as long.
const IDLE: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(1);

/// Time in which an old connection must be replaced, because its lane serves nobody meanwhile; and the
/// time until the next attempt if it failed.
const REPLACE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(30);

/// Waits between attempts to connect: from the first to the last, each twice the one before.
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
    /// Starts `each` lanes for reads, and as many for writes. At most `queue` calls wait for each
    /// of the two.
    pub(super) fn start(connector: &Connector, each: u32, queue: usize) -> Self {
        let start = |effect| {
            let queue = Arc::new(Queue::new(effect, queue, each, connector.is_cluster));
            for lane in 0..each {
                // Not all of a kind connect again at the same time.
                let share = 1.0 - 0.2 * f64::from(lane) / f64::from(each);
                let max_lifetime = connector.max_lifetime.mul_f64(share);
                let connector = Connector { max_lifetime, ..connector.clone() };
                tokio::spawn(keep_lane(Kept(Arc::clone(&queue)), connector));
            }
            queue
        };
        let deadline = connector.deadline;
        let (reads, writes) = (start(Effect::Read), start(Effect::Write));
        Self(Arc::new(Inner { reads, writes, aside: connector.aside.clone(), deadline }))
    }

    /// Runs an statement for one caller, in a batch of its own or with others.
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
                // The lane panicked, or the runtime is going down.
                Ok(Err(_)) => Err(O::EFFECT.interrupted("the lane went away".into())),
                // It may have been answered just now; otherwise, either it was not sent, and will
                // not be, or a lane is at it.
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

    /// Lets the lanes finish what waits, and end. Returns when nothing waits for a lock any more.
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

/// Connects lanes.
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

/// Why a connection takes no more batches.
enum Ended {
    Closed,
    Broke,
    Aged,
}

/// Keeps a lane, even if one should panic: its callers are told that it went away.
async fn keep_lane(kept: Kept, connector: Connector) {
    while tokio::spawn(run_lane(Arc::clone(&kept.0), connector.clone())).await.is_err() {}
}

/// A lane's life: connect, run batches, and connect again when the connection broke or is old.
async fn run_lane(queue: Arc<Queue>, connector: Connector) {
    while let Some(mut connection) = connect(&queue, &connector).await {
        let connected = queue.connected();
        let mut until = Instant::now() + connector.max_lifetime;
        loop {
            match run_batches(&queue, &connector.aside, &mut connection, until).await {
                Ended::Closed => return close(connection).await,
                Ended::Broke => break,
                Ended::Aged => match connector.connect(REPLACE.min(connector.deadline)).await {
                    Ok(next) => {
                        tokio::spawn(close(std::mem::replace(&mut connection, next)));
                        until = Instant::now() + connector.max_lifetime;
                    }
                    // An old one is better than none.
                    Err(error) => {
                        tracing::warn!(%error, "a lane keeps its old connection");
                        until = Instant::now() + AGAIN;
                    }
                },
            }
        }
        drop(connected);
        queue.meter.broke();
    }
}

/// Politely, but a server that is gone must not keep the task.
async fn close(connection: PgConnection) {
    let _ = timeout(Duration::from_secs(1), connection.close()).await;
}

/// Runs batch after batch, until the connection is so old.
async fn run_batches(
    queue: &Arc<Queue>,
    aside: &Aside,
    connection: &mut PgConnection,
    until: Instant,
) -> Ended {
    let mut used = Instant::now();
    let mut batches = telemetry::Batches::default();
    while used < until {
        let Ok(batch) = timeout_at(until, queue.take()).await else { break };
        let Some(mut batch) = batch else { return Ended::Closed };
        // What the network or the server dropped while nobody looked would cost a write its
        // outcome. Nothing was sent yet, so the batch can wait for the next connection.
        if used.elapsed() > IDLE && !matches!(timeout(PING, connection.ping()).await, Ok(Ok(()))) {
            batch.put_back();
            return Ended::Broke;
        }
        let (size, statement) = batch.size();
        batches.record(statement, size);
        let at_work = queue.meter.at_work();
        let ran = batch.run(connection).await;
        drop(at_work);
        let is_broken = ran.is_broken;
        for (ticket, until) in batch.settle(ran) {
            aside.wait(queue, ticket, until);
        }
        if is_broken {
            return Ended::Broke;
        }
        used = Instant::now();
        // The callers that were just answered come back first, and join the next batch. One alone
        // would only wait for another thread to be woken.
        if size > 1 {
            tokio::task::yield_now().await;
        }
    }
    // The last batch may have made calls ready.
    queue.wake();
    Ended::Aged
}

/// Connects, however often it takes; `None` when the storage was closed and nothing waits.
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
