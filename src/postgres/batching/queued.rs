//! Queued calls of any statement.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;

use sqlx::PgConnection;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::schedule::Ticket;
use super::{Call, Statement, no_outcome, refused_or, run_statement};
use crate::error::{Error, Result};
use crate::postgres::error::{Effect, is_broken, is_lock_timeout, is_standby, may_run_alone};

/// The maximum number of times that a broken connection makes a read run again.
const RETRIES: u8 = 3;

/// A call and its ticket.
pub(super) type Queued = (Ticket, Box<dyn QueuedCall>);

/// The result of running a batch.
#[derive(Default)]
pub(super) struct Ran {
    /// True if the connection must not be used again.
    pub(super) is_broken: bool,
    /// True if the server refused a write because it is read-only.
    pub(super) is_standby: bool,
    /// Calls that go back to the head of their queue.
    pub(super) back: Vec<Queued>,
    /// Calls that ran into a lock. They leave the lanes and wait for it on connections of the pool.
    pub(super) aside: Vec<Queued>,
}

/// A queued call of any statement.
pub(super) trait QueuedCall: Any + Send {
    /// The statement of the call.
    fn statement(&self) -> TypeId;

    /// See [`Statement::NAME`].
    fn name(&self) -> &'static str;

    /// See [`Statement::key`].
    fn key(&self) -> Option<u128>;

    /// Returns true while the caller waits.
    fn is_wanted(&self) -> bool;

    /// The call's deadline.
    fn until(&self) -> Instant;

    /// Answers the caller with an error, without running anything.
    fn refuse(self: Box<Self>, error: Error);

    /// Runs this call and the rest, all of one statement, as a batch, and answers each caller.
    fn run_batch<'c>(
        self: Box<Self>,
        ticket: Ticket,
        rest: Vec<Queued>,
        connection: &'c mut PgConnection,
        is_cluster: bool,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>>;

    /// Runs the call alone until its deadline and answers the caller.
    fn run_aside<'c>(
        self: Box<Self>,
        call: &'c mut Call<'_>,
        is_cluster: bool,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'c>>;
}

/// A queued call of one statement.
pub(super) struct Waiting<O: Statement> {
    statement: O,
    caller: Caller<O::Outcome>,
}

struct Caller<T> {
    answer: oneshot::Sender<Result<T>>,
    until: Instant,
    /// The number of times that a broken connection interrupted the call. All lanes may break at
    /// once.
    cut_off: u8,
}

impl<T> Caller<T> {
    /// Sends the answer. If the caller is gone, the answer is dropped.
    fn answer(self, outcome: Result<T>) {
        let _ = self.answer.send(outcome);
    }
}

impl<O: Statement> Waiting<O> {
    pub(super) fn new(
        statement: O,
        answer: oneshot::Sender<Result<O::Outcome>>,
        until: Instant,
    ) -> Self {
        Self { statement, caller: Caller { answer, until, cut_off: 0 } }
    }
}

impl<O: Statement> QueuedCall for Waiting<O> {
    fn statement(&self) -> TypeId {
        TypeId::of::<O>()
    }

    fn name(&self) -> &'static str {
        O::NAME
    }

    fn key(&self) -> Option<u128> {
        self.statement.key()
    }

    fn is_wanted(&self) -> bool {
        !self.caller.answer.is_closed()
    }

    fn until(&self) -> Instant {
        self.caller.until
    }

    fn refuse(self: Box<Self>, error: Error) {
        self.caller.answer(Err(error));
    }

    fn run_batch<'c>(
        self: Box<Self>,
        ticket: Ticket,
        rest: Vec<Queued>,
        connection: &'c mut PgConnection,
        is_cluster: bool,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>> {
        let members = 1 + rest.len();
        let mut batch =
            Batch { statements: Vec::with_capacity(members), callers: Vec::with_capacity(members) };
        batch.push(ticket, *self);
        for (ticket, call) in rest {
            let call: Box<dyn Any + Send> = call;
            // Always succeeds, because a batch has calls of one statement.
            if let Ok(call) = call.downcast::<Self>() {
                batch.push(ticket, *call);
            }
        }
        Box::pin(batch.run(connection, is_cluster))
    }

    fn run_aside<'c>(
        self: Box<Self>,
        call: &'c mut Call<'_>,
        is_cluster: bool,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'c>> {
        Box::pin(async move {
            let Self { statement, caller } = *self;
            let outcome = call.run_aside(&statement, caller.until, is_cluster).await;
            caller.answer(outcome);
        })
    }
}

/// Calls that share a statement.
struct Batch<O: Statement> {
    statements: Vec<O>,
    callers: Vec<(Ticket, Caller<O::Outcome>)>,
}

impl<O: Statement> Batch<O> {
    fn push(&mut self, ticket: Ticket, call: Waiting<O>) {
        self.statements.push(call.statement);
        self.callers.push((ticket, call.caller));
    }

    fn members(self) -> impl Iterator<Item = (Ticket, Waiting<O>)> {
        self.statements
            .into_iter()
            .zip(self.callers)
            .map(|(statement, (ticket, caller))| (ticket, Waiting { statement, caller }))
    }

    fn into_queued(self) -> impl Iterator<Item = Queued> {
        self.members().map(|(ticket, call)| (ticket, Box::new(call) as Box<dyn QueuedCall>))
    }

    async fn run(self, connection: &mut PgConnection, is_cluster: bool) -> Ran {
        let until = self.callers.iter().map(|(_, caller)| caller.until).max();
        let until = until.unwrap_or_else(Instant::now);
        let error = match timeout_at(until, run_statement(connection, &self.statements, is_cluster))
            .await
        {
            Ok(Ok(outcomes)) => {
                let mut outcomes = outcomes.into_iter();
                for (_, caller) in self.callers {
                    caller.answer(outcomes.next().ok_or_else(no_outcome));
                }
                return Ran::default();
            }
            Ok(Err(error)) => error,
            Err(_) => {
                // The connection is in the middle of a statement, so it is replaced.
                for (_, caller) in self.callers {
                    let message = "no answer before the deadline".into();
                    caller.answer(Err(O::EFFECT.interrupted(message)));
                }
                return Ran { is_broken: true, ..Ran::default() };
            }
        };
        if is_broken(&error) {
            return self.cut_off(&error);
        }
        // One call's data or a locked row must not fail the other calls. The statement was rolled
        // back as a whole, or only read, so each call can run alone.
        let is_locked = is_lock_timeout(&error);
        if self.statements.len() > 1 && (is_locked || may_run_alone(&error, O::EFFECT)) {
            return self.run_one_by_one(connection, is_cluster).await;
        }
        if is_locked {
            let mut ran = Ran::default();
            ran.aside.extend(self.into_queued());
            return ran;
        }
        for (statement, (_, caller)) in self.statements.iter().zip(self.callers) {
            caller.answer(Err(refused_or(statement, &error)));
        }
        Ran { is_standby: is_standby(&error), ..Ran::default() }
    }

    /// Handles a broken connection. A read runs again on another one.
    fn cut_off(self, error: &sqlx::Error) -> Ran {
        let mut ran = Ran { is_broken: true, ..Ran::default() };
        for (ticket, mut call) in self.members() {
            if O::EFFECT == Effect::Read && call.caller.cut_off < RETRIES {
                call.caller.cut_off += 1;
                ran.back.push((ticket, Box::new(call)));
            } else {
                call.caller.answer(Err(refused_or(&call.statement, error)));
            }
        }
        ran
    }

    async fn run_one_by_one(self, connection: &mut PgConnection, is_cluster: bool) -> Ran {
        let mut ran = Ran::default();
        let mut locked = 0;
        for (ticket, call) in self.members() {
            if call.caller.until <= Instant::now() {
                call.caller.answer(Err(too_late()));
                continue;
            }
            // After two in a row it is probably the table that is locked, and not a row.
            if ran.is_broken || locked == 2 {
                // It has not run yet, so it goes back to the queue.
                ran.back.push((ticket, Box::new(call)));
                continue;
            }
            let mut alone = Self { statements: Vec::new(), callers: Vec::new() };
            alone.push(ticket, call);
            let one = Box::pin(alone.run(connection, is_cluster)).await;
            locked = if one.aside.is_empty() { 0 } else { locked + 1 };
            ran.is_broken = one.is_broken;
            ran.is_standby |= one.is_standby;
            ran.back.extend(one.back);
            ran.aside.extend(one.aside);
        }
        ran
    }
}

/// The error of a call whose deadline passed before it was sent.
fn too_late() -> Error {
    Error::Overloaded { message: "the previous statement lasted until the deadline".into() }
}
