//! Runs statements: connections, deadlines, batches and errors.

mod aside;
mod background;
mod call;
mod lanes;
mod queue;
mod queued;
mod reconnect;
mod schedule;
mod standby;

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
use background::Background;
pub(super) use call::Call;
use call::Connection;
use lanes::{Connector, Lanes};
use reconnect::Reconnect;
use standby::Standby;

/// A statement of the hot path. The implementing type is the input of one call; the SQL takes a
/// batch of them. A single call is a batch of one.
pub trait Statement: Sized + Send + Sync + 'static {
    /// The outcome of one call.
    type Outcome: Send;

    /// The name of the statement in metrics.
    const NAME: &'static str;

    /// The effect of the statement.
    const EFFECT: Effect;

    /// Runs the statement and returns one outcome per call, in the order of the batch.
    fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Outcome>>> + Send;

    /// Runs one call on a Citus cluster, where a call runs alone: see
    /// [`cluster`](crate::postgres::cluster). The default runs the same SQL.
    fn run_on_cluster(
        &self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = sqlx::Result<Self::Outcome>> + Send {
        async {
            let mut outcomes = Self::run(connection, std::slice::from_ref(self)).await?;
            outcomes.pop().ok_or(sqlx::Error::RowNotFound)
        }
    }

    /// The row that this call spends or changes. Calls with the same key run one at a time.
    fn key(&self) -> Option<u128> {
        None
    }

    /// Maps an error of the server to a mistake of the caller; `None` if it is not one.
    fn refused(&self, _error: &PgDatabaseError) -> Option<Error> {
        None
    }

    /// The table and the identifier of the row that this call reads, for the error if the row
    /// cannot be decoded.
    fn row(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// The connections of a storage.
pub trait Connections: Send + Sync {
    /// Takes a connection for one call.
    fn begin(&self, effect: Effect) -> impl Future<Output = Result<Call<'_>>> + Send;

    /// The metrics of the storage.
    fn meters(&self) -> &Meters;

    /// Returns true on the coordinator of a Citus cluster.
    fn is_cluster(&self) -> bool;

    /// The grant that a credential names. Always `None` without a cluster, where it is not needed.
    fn grant_of(&self, credential: &Secret) -> Option<Uuid> {
        if self.is_cluster() { credential.grant_id() } else { None }
    }

    /// Runs a statement for one caller.
    fn run<O: Statement>(&self, statement: O) -> impl Future<Output = Result<O::Outcome>> + Send {
        run_alone(self, statement)
    }

    /// Runs a statement whose outcome nobody waits for, in the background. Does nothing on a
    /// connection of the application.
    fn run_later<O: Statement<Outcome = ()>>(&self, _statement: O) {}
}

/// Runs a statement as a batch of one.
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

/// Runs the statement of a batch. On a cluster a batch has one call.
async fn run_statement<O: Statement>(
    connection: &mut PgConnection,
    batch: &[O],
    is_cluster: bool,
) -> sqlx::Result<Vec<O::Outcome>> {
    let ran = match batch {
        [call] if is_cluster => {
            let ran = no_panic(call.run_on_cluster(connection)).await;
            if ran.is_err() {
                // A dropped transaction keeps its locks until its connection is used again, which
                // rolls it back.
                let _ = connection.ping().await;
            }
            ran.map(|outcome| vec![outcome])
        }
        _ => no_panic(O::run(connection, batch)).await,
    };
    if ran.as_ref().is_err_and(is_undecodable) {
        // Read the rest of the response before another statement uses the connection. It may end
        // with an error, which belongs to this statement.
        no_panic(connection.ping()).await?;
    }
    ran
}

/// Turns a panic of the driver into a decode error. The driver panics on a timestamp beyond
/// chrono's range, such as `infinity` (sqlx #2234).
async fn no_panic<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let mut running = pin!(statement);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))).unwrap_or_else(|_| {
            let message = "the driver panicked, as it does on an infinite timestamp";
            Poll::Ready(Err(sqlx::Error::Decode(message.into())))
        })
    })
    .await
}

/// The error of one call of a batch whose statement failed.
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
    Error::Backend { code: None, message: "a statement returned no outcome".into(), source: None }
}

/// Lanes, if the storage has its own connections, and a pool: the application's, or one for calls
/// that do not run on lanes. Each call has a deadline.
#[derive(Clone)]
pub struct Pooled {
    pool: PgPool,
    reconnect: Arc<Reconnect>,
    standby: Arc<Standby>,
    background: Arc<Background>,
    lanes: Option<Lanes>,
    deadline: Duration,
    meters: Meters,
    is_cluster: bool,
}

impl Pooled {
    pub(super) fn new(pool: PgPool, deadline: Duration, is_cluster: bool) -> Self {
        let standby = Arc::new(Standby::new(pool.options().get_max_connections()));
        let background = Arc::new(Background::new(pool.options().get_max_connections()));
        let (reconnect, meters) = (Arc::default(), Meters::new());
        Self { pool, reconnect, standby, background, lanes: None, deadline, meters, is_cluster }
    }

    /// Adds `lanes` connections for reads and as many for writes, with at most `queue` calls
    /// waiting for each.
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

    /// Takes a connection that does not return to the pool.
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

    /// Begins a call whose deadline is already running.
    async fn begin_until(&self, until: Instant, effect: Effect) -> Result<Call<'_>> {
        let connection = Connection::Pooled(self.acquire(until).await?);
        Ok(Call::new(connection, Some((until, self.deadline)), effect)
            .limited_by(Arc::clone(&self.standby)))
    }

    /// A pool keeps trying while a server is unreachable, so its time-out has two meanings.
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

    /// Moves the statement to the heap before the future begins, because a small future is cheaper
    /// to allocate and to move. This saved a fifth of the time that a lookup takes in this process.
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

    /// Drops the statement if too many run in the background, or one on the same row, or if one failed
    /// within the last minute, as on a standby.
    fn run_later<O: Statement<Outcome = ()>>(&self, statement: O) {
        let Some(turn) = self.background.begin(statement.key().unwrap_or_default()) else { return };
        let connections = self.clone();
        tokio::spawn(async move {
            if let Err(error) = connections.run(statement).await {
                tracing::debug!(%error, statement = O::NAME, "a statement in the background failed");
                turn.failed();
            }
        });
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the pool: its options contain the password.
        f.debug_struct("Pooled")
            .field("connections", &self.pool.size())
            .field("lanes", &self.lanes)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// A connection of the application, in its transaction if it began one. Calls have no deadline.
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
