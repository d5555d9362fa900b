//! Runs statements: which connection, how long, and what an error means.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgDatabaseError;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::postgres::error::{Effect, connect_error, statement_error};

/// An operation of the hot path: its input is the type itself, its statement takes a batch.
///
/// One SQL text serves a caller alone, which is a batch of one, and callers that share a statement.
pub(super) trait Operation: Sized + Send + Sync {
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

/// Gives statements a connection of the pool and a deadline.
#[derive(Clone)]
pub(super) struct Executor {
    pool: PgPool,
    deadline: Duration,
}

impl Executor {
    pub(super) fn new(pool: PgPool, deadline: Duration) -> Self {
        Self { pool, deadline }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs an operation for one caller.
    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Outcome> {
        let mut call = self.begin(O::EFFECT).await?;
        let batch = std::slice::from_ref(&operation);
        match timeout_at(call.until, O::run(&mut call.connection, batch)).await {
            Ok(Ok(mut outcomes)) => outcomes.pop().ok_or_else(|| Error::Backend {
                code: None,
                message: "a statement gave no outcome".into(),
                source: None,
            }),
            Ok(Err(error)) => Err(error
                .as_database_error()
                .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
                .and_then(|error| operation.refused(error))
                .unwrap_or_else(|| statement_error(error, O::EFFECT))),
            Err(_) => Err(call.late()),
        }
    }

    /// Begins a call of one statement: takes a connection.
    pub(super) async fn begin(&self, effect: Effect) -> Result<Call> {
        let until = Instant::now() + self.deadline;
        match timeout_at(until, self.pool.acquire()).await {
            Ok(Ok(connection)) => Ok(Call { connection, until, deadline: self.deadline, effect }),
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

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the pool: its options hold the password.
        f.debug_struct("Executor")
            .field("connections", &self.pool.size())
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// A connection for one call, and the time it has.
pub(super) struct Call {
    pub(super) connection: PoolConnection<Postgres>,
    until: Instant,
    deadline: Duration,
    effect: Effect,
}

impl Call {
    /// Runs one statement, built by the closure for this call's connection.
    pub(super) async fn statement<'c, T, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = sqlx::Result<T>> + 'c,
    {
        let (until, effect, late) = (self.until, self.effect, self.late());
        match timeout_at(until, statement(&mut self.connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(statement_error(error, effect)),
            Err(_) => Err(late),
        }
    }

    fn late(&self) -> Error {
        self.effect.interrupted(format!("no answer within {:?}", self.deadline), None)
    }
}
