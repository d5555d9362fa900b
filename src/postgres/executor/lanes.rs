//! Flat combining over a few dedicated connections.
//!
//! A lane is a task with a connection of its own. A call goes into a queue; a lane that is idle takes
//! it at once, and one that frees later takes all waiting calls of one operation as one statement. So
//! a caller alone pays one round trip, and many callers share the round trip and the commit.
//!
//! The statement runs on the lane's task: a caller that goes away stops nothing. Reads have lanes of
//! their own, for they must not wait behind commits.

use std::any::TypeId;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::Operation;
use super::job::{Job, Waiting};
use crate::error::{Error, Result};
use crate::postgres::error::{Effect, connect_error};
use crate::postgres::meter;

/// The most members of one statement. More gain little and make the others wait.
const BATCH: usize = 256;

/// After as long without work a lane makes sure of its connection, which may take as long.
const IDLE: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(1);

/// How long an old connection may take to be replaced, for its lane serves nobody meanwhile; and when to
/// try again if it was in vain.
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
    deadline: Duration,
}

impl Lanes {
    /// Starts `each` lanes for reads, and as many for writes. At most `queue` calls wait for each
    /// of the two.
    pub(super) fn start(connector: &Connector, each: u32, queue: usize) -> Self {
        let start = |effect| {
            let queue = Arc::new(Queue::new(effect, queue));
            for lane in 0..each {
                // Not all of a kind connect again at the same time.
                let share = 1.0 - 0.2 * f64::from(lane) / f64::from(each);
                let max_lifetime = connector.max_lifetime.mul_f64(share);
                let connector = Connector { max_lifetime, ..connector.clone() };
                tokio::spawn(keep_lane(Arc::clone(&queue), connector));
            }
            queue
        };
        let deadline = connector.deadline;
        Self(Arc::new(Inner { reads: start(Effect::Read), writes: start(Effect::Write), deadline }))
    }

    /// Runs an operation for one caller, in a batch of its own or with others.
    pub(super) fn run<O: Operation>(
        &self,
        operation: O,
    ) -> impl Future<Output = Result<O::Outcome>> + Send {
        let queue = match O::EFFECT {
            Effect::Read => &self.0.reads,
            Effect::Write => &self.0.writes,
        };
        let deadline = self.0.deadline;
        let until = Instant::now() + deadline;
        let (answer, mut outcome) = oneshot::channel();
        let job = Box::new(Waiting::new(operation, answer, until));
        async move {
            let ticket = queue.push(job)?;
            match timeout_at(until, &mut outcome).await {
                Ok(Ok(outcome)) => outcome,
                // The lane panicked, or the runtime is going down.
                Ok(Err(_)) => Err(O::EFFECT.interrupted("the lane went away".into())),
                // It may have been answered just now; otherwise, either no lane has taken it yet,
                // and none will, or one is at it.
                Err(_) => match outcome.try_recv() {
                    Ok(outcome) => outcome,
                    Err(_) => Err(queue.give_up(ticket).unwrap_or_else(|| {
                        O::EFFECT.interrupted(format!("no answer within {deadline:?}"))
                    })),
                },
            }
        }
    }

    /// Lets the lanes finish what waits, and end.
    pub(super) fn close(&self) {
        self.0.reads.close();
        self.0.writes.close();
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

/// Names a call that waits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ticket(u64);

/// The calls that wait for a lane.
struct Queue {
    state: Mutex<State>,
    work: Notify,
    effect: Effect,
    limit: usize,
    meter: meter::Lanes,
}

struct State {
    waiting: VecDeque<(Ticket, Box<dyn Job>)>,
    next: u64,
    open: bool,
    /// Why the last attempt to connect failed, while no lane has a connection.
    down: Option<String>,
    connected: usize,
}

impl Queue {
    fn new(effect: Effect, limit: usize) -> Self {
        let waiting = VecDeque::new();
        let state = State { waiting, next: 0, open: true, down: None, connected: 0 };
        let meter = meter::Lanes::new(effect);
        Self { state: Mutex::new(state), work: Notify::new(), effect, limit, meter }
    }

    /// Never held across an await, and nothing that holds it panics halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Box<dyn Job>) -> Result<Ticket> {
        let ticket = {
            let mut state = self.state();
            if !state.open {
                return Err(Error::configuration("the storage was closed"));
            }
            if state.waiting.len() >= self.limit {
                return Err(Error::Overloaded {
                    message: format!("{} calls are waiting already", self.limit),
                });
            }
            let ticket = Ticket(state.next);
            state.next += 1;
            state.waiting.push_back((ticket, job));
            self.meter.queued(1);
            ticket
        };
        // For one caller's calls one after the other: a write is faster on the session that ran the
        // last one, for it is warm; a read on another one, for the last is still tidying up.
        match self.effect {
            Effect::Read => self.work.notify_one(),
            Effect::Write => self.work.notify_last(),
        }
        Ok(ticket)
    }

    /// Takes a call back that no lane has taken yet: nothing was sent. `None` if one has.
    fn give_up(&self, ticket: Ticket) -> Option<Error> {
        let mut state = self.state();
        let index = state.waiting.iter().position(|(waiting, _)| *waiting == ticket)?;
        state.waiting.remove(index);
        self.meter.left_queue(1);
        Some(match &state.down {
            Some(message) => Error::Unavailable { message: message.clone(), source: None },
            None => Error::Overloaded { message: "no lane was free before the deadline".into() },
        })
    }

    /// The next batch, once there is one; `None` when the queue was closed and is empty.
    async fn take(&self) -> Option<Vec<Box<dyn Job>>> {
        loop {
            {
                let mut state = self.state();
                let waited = state.waiting.len();
                let batch = state.next_batch();
                self.meter.left_queue(waited - state.waiting.len());
                if !batch.is_empty() {
                    let more = !state.waiting.is_empty();
                    drop(state);
                    if more {
                        self.work.notify_one();
                    }
                    return Some(batch);
                }
                if !state.open {
                    drop(state);
                    // The next lane has to see it, too.
                    self.work.notify_one();
                    return None;
                }
            }
            // What was pushed meanwhile left a permit.
            self.work.notified().await;
        }
    }

    /// What a broken connection cut off goes first, where it may run once more.
    fn put_back(&self, jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        let mut state = self.state();
        self.meter.queued(jobs.len());
        for job in jobs.into_iter().rev() {
            let ticket = Ticket(state.next);
            state.next += 1;
            state.waiting.push_front((ticket, job));
        }
        drop(state);
        self.work.notify_one();
    }

    fn close(&self) {
        self.state().open = false;
        self.work.notify_one();
    }

    /// What waits when the storage is closed is still done.
    fn needs_lane(&self) -> bool {
        let state = self.state();
        state.open || state.waiting.iter().any(|(_, job)| job.is_wanted())
    }

    /// One more lane has a connection, for as long as the guard lives.
    fn connected(&self) -> Connected<'_> {
        let mut state = self.state();
        state.connected += 1;
        state.down = None;
        self.meter.connected();
        Connected(self)
    }

    fn cannot_connect(&self, error: &Error) {
        let mut state = self.state();
        if state.connected == 0 {
            state.down = Some(error.to_string());
        }
    }
}

struct Connected<'a>(&'a Queue);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.state().connected -= 1;
        self.0.meter.disconnected();
    }
}

impl State {
    /// All waiting calls of the operation that waits longest, in their order, up to the limit. Of
    /// two with equal keys the second stays for the next batch, so that it sees what the first did.
    fn next_batch(&mut self) -> Vec<Box<dyn Job>> {
        let mut batch: Vec<Box<dyn Job>> = Vec::new();
        let mut operation: Option<TypeId> = None;
        let mut keys: HashSet<u128> = HashSet::new();
        let mut stay = VecDeque::new();
        while let Some((ticket, job)) = self.waiting.pop_front() {
            if !job.is_wanted() {
                continue;
            }
            let fits = batch.len() < BATCH
                && operation.is_none_or(|operation| operation == job.operation())
                && job.key().is_none_or(|key| keys.insert(key));
            if fits {
                operation = Some(job.operation());
                batch.push(job);
            } else {
                stay.push_back((ticket, job));
                if batch.len() == BATCH {
                    break;
                }
            }
        }
        // What stays was in front of what was not looked at.
        while let Some(job) = stay.pop_back() {
            self.waiting.push_front(job);
        }
        batch
    }
}

/// How a lane comes by a connection.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) options: PgConnectOptions,
    pub(super) deadline: Duration,
    pub(super) max_lifetime: Duration,
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
async fn keep_lane(queue: Arc<Queue>, connector: Connector) {
    while tokio::spawn(run_lane(Arc::clone(&queue), connector.clone())).await.is_err() {}
}

/// A lane's life: connect, run batches, and connect again when the connection broke or is old.
async fn run_lane(queue: Arc<Queue>, connector: Connector) {
    while let Some(mut connection) = connect(&queue, &connector).await {
        let connected = queue.connected();
        let mut until = Instant::now() + connector.max_lifetime;
        loop {
            match run_batches(&queue, &mut connection, until).await {
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
async fn run_batches(queue: &Queue, connection: &mut PgConnection, until: Instant) -> Ended {
    let mut used = Instant::now();
    let mut batches = meter::Batches::default();
    while used < until {
        let Ok(batch) = timeout_at(until, queue.take()).await else { break };
        let Some(mut batch) = batch else { return Ended::Closed };
        // What the network or the server dropped while nobody looked would cost a write its
        // outcome. Nothing was sent yet, so the batch can wait for the next connection.
        if used.elapsed() > IDLE && !matches!(timeout(PING, connection.ping()).await, Ok(Ok(()))) {
            queue.put_back(batch);
            return Ended::Broke;
        }
        batches.record(batch[0].name(), batch.len());
        let first = batch.remove(0);
        let shared = !batch.is_empty();
        let at_work = queue.meter.at_work();
        let ran = first.run_batch(batch, connection).await;
        drop(at_work);
        if let Some(retry) = ran.broken {
            queue.put_back(retry);
            return Ended::Broke;
        }
        used = Instant::now();
        // The callers that were just answered come back first, and join the next batch. One alone
        // would only wait for another thread to be woken.
        if shared {
            tokio::task::yield_now().await;
        }
    }
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
