//! Runs statements: on which connection, for how long, and what an error means.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgDatabaseError;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::postgres::error::{Effect, connect_error, statement_error};

/// An operation of the hot path: its input is the type itself, its statement takes a batch.
///
/// One SQL text serves a caller alone, which is a batch of one, and callers that share a statement.
pub trait Operation: Sized + Send + Sync {
    /// What a member of the batch gets back.
    type Outcome: Send;

    /// Whether the statement changes anything.
    const EFFECT: Effect;

    /// Runs the statement; gives one outcome per member, in the batch's order.
    fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Outcome>>> + Send;

    /// What the server's refusal means for this member, where it is the caller's mistake.
    fn refused(&self, _error: &PgDatabaseError) -> Option<Error> {
        None
    }
}

/// Where statements run.
pub trait Connections: Send + Sync {
    /// Begins a call of one statement: takes a connection.
    fn begin(&self, effect: Effect) -> impl Future<Output = Result<Call<'_>>> + Send;

    /// Runs an operation for one caller.
    fn run<O: Operation>(&self, operation: O) -> impl Future<Output = Result<O::Outcome>> + Send {
        async move {
            let mut call = self.begin(O::EFFECT).await?;
            let batch = std::slice::from_ref(&operation);
            let ran = call.within_deadline(|connection| O::run(connection, batch)).await?;
            let mut outcomes = ran.map_err(|error| {
                error
                    .as_database_error()
                    .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
                    .and_then(|error| operation.refused(error))
                    .unwrap_or_else(|| statement_error(error, O::EFFECT))
            })?;
            outcomes.pop().ok_or_else(|| Error::Backend {
                code: None,
                message: "a statement gave no outcome".into(),
                source: None,
            })
        }
    }
}

/// On the connections of a pool, each call with a deadline.
#[derive(Clone)]
pub struct Pooled {
    pool: PgPool,
    deadline: Duration,
}

impl Pooled {
    pub(super) fn new(pool: PgPool, deadline: Duration) -> Self {
        Self { pool, deadline }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection that does not go back to the pool.
    pub(super) async fn detached(&self) -> Result<PgConnection> {
        self.acquire(Instant::now() + self.deadline).await.map(PoolConnection::detach)
    }

    async fn acquire(&self, until: Instant) -> Result<PoolConnection<Postgres>> {
        match timeout_at(until, self.pool.acquire()).await {
            Ok(Ok(connection)) => Ok(connection),
            Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => Err(self.no_connection()),
            Ok(Err(error)) => Err(connect_error(error)),
        }
    }

    /// A pool keeps trying while a server is away, so its time-out has two meanings.
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
        let until = Instant::now() + self.deadline;
        let connection = Connection::Pooled(self.acquire(until).await?);
        Ok(Call { connection, limit: Some((until, self.deadline)), effect })
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the pool: its options hold the password.
        f.debug_struct("Pooled")
            .field("connections", &self.pool.size())
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// On one connection that the application holds, in its own transaction if it began one. How long
/// a call may take is the application's matter, too.
pub struct Held<'c>(Mutex<&'c mut PgConnection>);

impl<'c> Held<'c> {
    pub(super) fn new(connection: &'c mut PgConnection) -> Self {
        Self(Mutex::new(connection))
    }
}

impl Connections for Held<'_> {
    async fn begin(&self, effect: Effect) -> Result<Call<'_>> {
        let connection = MutexGuard::map(self.0.lock().await, |connection| &mut **connection);
        Ok(Call { connection: Connection::Held(connection), limit: None, effect })
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(..)")
    }
}

/// A connection for one call, and the time it has.
pub struct Call<'a> {
    connection: Connection<'a>,
    limit: Option<(Instant, Duration)>,
    effect: Effect,
}

enum Connection<'a> {
    Pooled(PoolConnection<Postgres>),
    Held(MappedMutexGuard<'a, PgConnection>),
}

impl Deref for Connection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Held(connection) => connection,
        }
    }
}

impl DerefMut for Connection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Held(connection) => connection,
        }
    }
}

impl Call<'_> {
    /// Runs one statement, built by the closure for this call's connection.
    pub(super) async fn statement<'c, T, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = sqlx::Result<T>> + 'c,
    {
        let effect = self.effect;
        self.within_deadline(statement).await?.map_err(|error| statement_error(error, effect))
    }

    async fn within_deadline<'c, T, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = T> + 'c,
    {
        let running = statement(&mut self.connection);
        let Some((until, deadline)) = self.limit else { return Ok(running.await) };
        timeout_at(until, running)
            .await
            .map_err(|_| self.effect.interrupted(format!("no answer within {deadline:?}"), None))
    }
}
