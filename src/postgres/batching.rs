//! Runs statements: on which connection, for how long, and what an error means.

mod aside;

mod call;
mod lanes;
mod queue;
mod queued;
mod reconnect;
mod schedule;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{Error, InvalidReason, Result};
use crate::postgres::cluster::Duplicate;
use crate::postgres::error::{Effect, connect_error, is_undecodable, statement_error};
use crate::postgres::telemetry::Meters;
use crate::secret::Secret;
use aside::Aside;
pub(super) use aside::server_limit;
pub(super) use call::Call;
use call::Connection;
use lanes::{Connector, Lanes};
use reconnect::Reconnect;

/// An statement of the hot path: its input is the type itself, its statement takes a batch.
///
/// One SQL text serves a caller alone, which is a batch of one, and callers that share a statement.
pub trait Statement: Sized + Send + Sync + 'static {
    /// The outcome of one call.
    type Outcome: Send;

    /// The name of the statement in metrics.
    const NAME: &'static str;

    /// The effect of the statement.
    const EFFECT: Effect;

    /// Runs the statement; gives one outcome per member, in the batch's order.
    fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Outcome>>> + Send;

    /// Runs the call on a Citus cluster, where it runs alone: see [`cluster`](crate::postgres::cluster).
    /// Statements that any cluster can run as they are need no other.
    fn run_on_cluster(
        &self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = sqlx::Result<Self::Outcome>> + Send {
        async {
            let mut outcomes = Self::run(connection, std::slice::from_ref(self)).await?;
            outcomes.pop().ok_or(sqlx::Error::RowNotFound)
        }
    }

    /// The row that this call spends or changes. Of calls with the same key, one runs at a time.
    fn key(&self) -> Option<u128> {
        None
    }

    /// The caller's mistake that a refusal of the server stands for; `None` if it stands for none.
    fn refused(&self, _error: &PgDatabaseError) -> Option<Error> {
        None
    }

    /// The row that this member looks for, by its table and its name there: to say which it is
    /// where it cannot be decoded.
    fn row(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// Runs statements.
pub trait Connections: Send + Sync {
    /// Begins a call of one statement: takes a connection.
    fn begin(&self, effect: Effect) -> impl Future<Output = Result<Call<'_>>> + Send;

    /// The counters of calls.
    fn meters(&self) -> &Meters;

    /// True on the coordinator of a Citus cluster.
    fn is_cluster(&self) -> bool;

    /// The grant that a credential names; `None` except on a cluster, where nobody else needs it.
    fn grant_of(&self, credential: &Secret) -> Option<Uuid> {
        if self.is_cluster() { credential.grant_id() } else { None }
    }

    /// Runs an statement for one caller.
    fn run<O: Statement>(&self, statement: O) -> impl Future<Output = Result<O::Outcome>> + Send {
        run_alone(self, statement)
    }
}

/// Runs an statement as a batch of one.
async fn run_alone<C: Connections + ?Sized, O: Statement>(
    connections: &C,
    statement: O,
) -> Result<O::Outcome> {
    let mut call = connections.begin(O::EFFECT).await?;
    let (batch, is_cluster) = (std::slice::from_ref(&statement), connections.is_cluster());
    let ran =
        call.within_deadline(|connection| run_statement(connection, batch, is_cluster)).await?;
    let mut outcomes = ran.map_err(|error| refused_or(&statement, &error))?;
    outcomes.pop().ok_or_else(no_outcome)
}

/// Runs the statement of a batch. On a cluster a batch is one call.
async fn run_statement<O: Statement>(
    connection: &mut PgConnection,
    batch: &[O],
    is_cluster: bool,
) -> sqlx::Result<Vec<O::Outcome>> {
    let ran = match batch {
        [call] if is_cluster => {
            let ran = no_panic(call.run_on_cluster(connection)).await;
            if ran.is_err() {
                // A transaction that was dropped is rolled back when its connection is used again, and
                // keeps its locks until then.
                let _ = connection.ping().await;
            }
            ran.map(|outcome| vec![outcome])
        }
        _ => no_panic(O::run(connection, batch)).await,
    };
    if ran.as_ref().is_err_and(is_undecodable) {
        // The rest of the answer is read here, for others come after us on this connection. It may
        // end with an error, which is ours.
        no_panic(connection.ping()).await?;
    }
    ran
}

/// Turns a panic of the driver into the error of a row that cannot be decoded: it panics at a timestamp
/// beyond chrono's, such as `infinity` (sqlx #2234).
async fn no_panic<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let mut running = pin!(statement);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))).unwrap_or_else(|_| {
            let message = "the driver panicked, as it does at an infinite timestamp";
            Poll::Ready(Err(sqlx::Error::Decode(message.into())))
        })
    })
    .await
}

/// The error of one member of a batch whose statement failed.
fn refused_or<O: Statement>(statement: &O, error: &sqlx::Error) -> Error {
    if is_undecodable(error)
        && let Some((table, row)) = statement.row()
    {
        return Error::Corrupt { table, column: "*", row, message: error.to_string() };
    }
    if let sqlx::Error::Encode(source) = error
        && let Some(Duplicate(field)) = source.downcast_ref()
    {
        return Error::invalid(field, InvalidReason::Duplicate);
    }
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .and_then(|error| statement.refused(error))
        .unwrap_or_else(|| statement_error(error, O::EFFECT))
}

fn no_outcome() -> Error {
    Error::Backend { code: None, message: "a statement gave no outcome".into(), source: None }
}

/// On lanes, where the storage has its own, and on the connections of a pool otherwise: what the
/// application gave, or for what is too rare for a lane. Each call has a deadline.
#[derive(Clone)]
pub struct Pooled {
    pool: PgPool,
    reconnect: Arc<Reconnect>,
    lanes: Option<Lanes>,
    deadline: Duration,
    meters: Meters,
    is_cluster: bool,
}

impl Pooled {
    pub(super) fn new(pool: PgPool, deadline: Duration, is_cluster: bool) -> Self {
        let meters = Meters::new();
        Self { pool, reconnect: Arc::default(), lanes: None, deadline, meters, is_cluster }
    }

    /// With `lanes` connections for reads, as many for writes, and `queue` calls waiting for each.
    pub(super) fn with_lanes(
        self,
        options: PgConnectOptions,
        lanes: u32,
        queue: usize,
        max_lifetime: Duration,
    ) -> Self {
        let (deadline, aside) = (self.deadline, Aside::new(self.clone()));
        let connector =
            Connector { options, deadline, max_lifetime, aside, is_cluster: self.is_cluster };
        let lanes = Lanes::start(&connector, lanes, queue);
        Self { lanes: Some(lanes), ..self }
    }

    pub(super) async fn close(&self) {
        if let Some(lanes) = &self.lanes {
            lanes.close().await;
            self.pool.close().await;
        }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection that does not go back to the pool.
    pub(super) async fn detached(&self) -> Result<PgConnection> {
        self.acquire(Instant::now() + self.deadline).await.map(PoolConnection::detach)
    }

    async fn acquire(&self, until: Instant) -> Result<PoolConnection<Postgres>> {
        match self.reconnect.acquire(&self.pool, until).await {
            Some(Ok(connection)) => Ok(connection),
            None | Some(Err(sqlx::Error::PoolTimedOut)) => Err(self.no_connection()),
            Some(Err(error)) => Err(connect_error(error)),
        }
    }

    /// Begins a call that was made before.
    async fn begin_until(&self, until: Instant, effect: Effect) -> Result<Call<'_>> {
        let connection = Connection::Pooled(self.acquire(until).await?);
        Ok(Call::new(connection, Some((until, self.deadline)), effect))
    }

    /// A pool keeps trying while a server is reconnect, so its time-out has two meanings.
    fn no_connection(&self) -> Error {
        let (open, most) = (self.pool.size(), self.pool.options().get_max_connections());
        if open >= most {
            Error::Overloaded { message: format!("all {most} connections are busy") }
        } else {
            Error::Unavailable {
                message: format!("no connection could be opened within {:?}", self.deadline),
                source: None,
            }
        }
    }
}

impl Connections for Pooled {
    async fn begin(&self, effect: Effect) -> Result<Call<'_>> {
        self.begin_until(Instant::now() + self.deadline, effect).await
    }

    fn meters(&self) -> &Meters {
        &self.meters
    }

    fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// The statement goes to the heap before the future begins: a small future is allocated and
    /// moved in a fraction of the time, which is a fifth of all that a lookup takes here.
    fn run<O: Statement>(&self, statement: O) -> impl Future<Output = Result<O::Outcome>> + Send {
        let way = match &self.lanes {
            Some(lanes) => Ok(lanes.run(statement)),
            None => Err(Box::pin(run_alone(self, statement))),
        };
        async move {
            match way {
                Ok(on_lane) => on_lane.await,
                Err(alone) => alone.await,
            }
        }
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the pool: its options hold the password.
        f.debug_struct("Pooled")
            .field("connections", &self.pool.size())
            .field("lanes", &self.lanes)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// On one connection that the application holds, in its own transaction if it began one. How long
/// a call may take is the application's matter, too.
pub struct Held<'c> {
    connection: Mutex<&'c mut PgConnection>,
    meters: Meters,
    is_cluster: bool,
}

impl<'c> Held<'c> {
    pub(super) fn new(connection: &'c mut PgConnection, meters: Meters, is_cluster: bool) -> Self {
        Self { connection: Mutex::new(connection), meters, is_cluster }
    }
}

impl Connections for Held<'_> {
    async fn begin(&self, effect: Effect) -> Result<Call<'_>> {
        let connection = MutexGuard::map(self.connection.lock().await, |held| &mut **held);
        Ok(Call::new(Connection::Held(connection), None, effect))
    }

    fn meters(&self) -> &Meters {
        &self.meters
    }

    fn is_cluster(&self) -> bool {
        self.is_cluster
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(..)")
    }
}
