//! A connection for one call.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use tokio::sync::MappedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::no_panic;
use super::standby::Standby;
use crate::error::Result;
use crate::postgres::error::{Effect, is_broken, is_cut_off, is_standby, statement_error};

/// A connection for one call, and its deadline.
pub struct Call<'a> {
    connection: Connection<'a>,
    limit: Option<(Instant, Duration)>,
    pub(super) effect: Effect,
    /// True if the connection must not be used again.
    is_broken: Arc<AtomicBool>,
    /// The limit for replacing connections of the pool.
    standby: Option<Arc<Standby>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        connection: Connection<'a>,
        limit: Option<(Instant, Duration)>,
        effect: Effect,
    ) -> Self {
        Self { connection, limit, effect, is_broken: Arc::default(), standby: None }
    }

    /// Limits how often the call's connection is replaced because the server is read-only.
    pub(super) fn limited_by(mut self, standby: Arc<Standby>) -> Self {
        self.standby = Some(standby);
        self
    }
}

/// Closes a pooled connection that was interrupted or leads to a standby.
impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_broken.load(Ordering::Relaxed)
            && let Connection::Pooled(connection) = &mut self.connection
        {
            connection.close_on_drop();
        }
    }
}

pub(super) enum Connection<'a> {
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
    pub(in crate::postgres) async fn statement<'c, T: 'c, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = sqlx::Result<T>> + 'c,
    {
        let effect = self.effect;
        let ran = self.within_deadline(|connection| no_panic(statement(connection))).await?;
        ran.map_err(|error| statement_error(&error, effect))
    }

    /// Runs one of several statements, each with the whole deadline. Returns `None` if the server
    /// cancelled the statement because it took too long or waited too long for a lock. Nothing was
    /// changed then.
    pub(in crate::postgres) async fn statement_unless_cut_off<'c, T: 'c, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<Option<T>>
    where
        F: Future<Output = sqlx::Result<T>> + 'c,
    {
        let effect = self.effect;
        if let Some((until, deadline)) = &mut self.limit {
            *until = Instant::now() + *deadline;
        }
        match self.within_deadline(|connection| no_panic(statement(connection))).await? {
            Ok(done) => Ok(Some(done)),
            Err(error) if is_cut_off(&error) => Ok(None),
            Err(error) => Err(statement_error(&error, effect)),
        }
    }

    /// Runs a statement until the deadline.
    pub(super) async fn within_deadline<'c, T, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<sqlx::Result<T>>
    where
        F: Future<Output = sqlx::Result<T>> + 'c,
    {
        let (limit, effect, broken) = (self.limit, self.effect, Arc::clone(&self.is_broken));
        let standby = self.standby.clone();
        // Until the answer arrives: the future may be dropped before.
        broken.store(true, Ordering::Relaxed);
        let running = statement(&mut self.connection);
        let ran = match limit {
            None => running.await,
            Some((until, deadline)) => timeout_at(until, running)
                .await
                .map_err(|_| effect.interrupted(format!("no answer within {deadline:?}")))?,
        };
        let is_replaced =
            |error| is_standby(error) && standby.is_some_and(|standby| standby.replaces());
        let is_broken = ran.as_ref().is_err_and(|error| is_broken(error) || is_replaced(error));
        broken.store(is_broken, Ordering::Relaxed);
        Ok(ran)
    }
}
