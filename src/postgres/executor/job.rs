//! A call that waits in a queue, whatever its operation.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;

use sqlx::PgConnection;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{Operation, no_outcome, refused_or, run_statement};
use crate::error::Result;
use crate::postgres::error::{Effect, is_broken, may_run_alone};

/// How often a read may run again.
const RETRIES: u8 = 3;

/// What became of the connection.
pub(super) struct Ran {
    /// If it broke: the calls that may run again on another one.
    pub(super) broken: Option<Vec<Box<dyn Job>>>,
}

/// A call of some operation.
pub(super) trait Job: Any + Send {
    /// Which operation it is of.
    fn operation(&self) -> TypeId;

    /// See [`Operation::NAME`].
    fn name(&self) -> &'static str;

    /// See [`Operation::key`].
    fn key(&self) -> Option<u128>;

    /// Whether the caller still waits.
    fn is_wanted(&self) -> bool;

    /// Runs it and the rest, all of one operation, as one statement, and answers each caller.
    fn run_batch<'c>(
        self: Box<Self>,
        rest: Vec<Box<dyn Job>>,
        connection: &'c mut PgConnection,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>>;
}

pub(super) struct Waiting<O: Operation> {
    operation: O,
    caller: Caller<O::Outcome>,
}

struct Caller<T> {
    answer: oneshot::Sender<Result<T>>,
    until: Instant,
    /// How often a broken connection cut it off; all lanes may break at once.
    cut_off: u8,
}

impl<O: Operation> Waiting<O> {
    pub(super) fn new(
        operation: O,
        answer: oneshot::Sender<Result<O::Outcome>>,
        until: Instant,
    ) -> Self {
        Self { operation, caller: Caller { answer, until, cut_off: 0 } }
    }
}

impl<O: Operation> Job for Waiting<O> {
    fn operation(&self) -> TypeId {
        TypeId::of::<O>()
    }

    fn name(&self) -> &'static str {
        O::NAME
    }

    fn key(&self) -> Option<u128> {
        self.operation.key()
    }

    fn is_wanted(&self) -> bool {
        !self.caller.answer.is_closed()
    }

    fn run_batch<'c>(
        self: Box<Self>,
        rest: Vec<Box<dyn Job>>,
        connection: &'c mut PgConnection,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>> {
        let members = 1 + rest.len();
        let (mut operations, mut callers) =
            (Vec::with_capacity(members), Vec::with_capacity(members));
        operations.push(self.operation);
        callers.push(self.caller);
        for job in rest {
            let job: Box<dyn Any + Send> = job;
            // The queue put calls of one operation together.
            if let Ok(job) = job.downcast::<Self>() {
                operations.push(job.operation);
                callers.push(job.caller);
            }
        }
        Box::pin(run_batch(operations, callers, connection))
    }
}

async fn run_batch<O: Operation>(
    operations: Vec<O>,
    callers: Vec<Caller<O::Outcome>>,
    connection: &mut PgConnection,
) -> Ran {
    let until = callers.iter().map(|caller| caller.until).max().unwrap_or_else(Instant::now);
    let error = match timeout_at(until, run_statement(connection, &operations)).await {
        Ok(Ok(outcomes)) => {
            let mut outcomes = outcomes.into_iter();
            for caller in callers {
                // Where the caller is gone, so is the answer.
                let _ = caller.answer.send(outcomes.next().ok_or_else(no_outcome));
            }
            return Ran { broken: None };
        }
        Ok(Err(error)) => error,
        Err(_) => {
            // The connection is in the middle of something; another one takes its place.
            for caller in callers {
                let message = "no answer before the deadline".into();
                let _ = caller.answer.send(Err(O::EFFECT.interrupted(message)));
            }
            return Ran { broken: Some(Vec::new()) };
        }
    };
    if is_broken(&error) {
        let mut retry: Vec<Box<dyn Job>> = Vec::new();
        for (operation, mut caller) in operations.into_iter().zip(callers) {
            if O::EFFECT == Effect::Read && caller.cut_off < RETRIES {
                caller.cut_off += 1;
                retry.push(Box::new(Waiting { operation, caller }));
            } else {
                let _ = caller.answer.send(Err(refused_or(&operation, &error)));
            }
        }
        return Ran { broken: Some(retry) };
    }
    // One member's data must not harm its neighbours: the statement was undone as a whole, or only
    // read, so each may run by itself.
    if operations.len() > 1 && may_run_alone(&error, O::EFFECT) {
        return one_by_one(operations, callers, connection).await;
    }
    for (operation, caller) in operations.iter().zip(callers) {
        let _ = caller.answer.send(Err(refused_or(operation, &error)));
    }
    Ran { broken: None }
}

async fn one_by_one<O: Operation>(
    operations: Vec<O>,
    callers: Vec<Caller<O::Outcome>>,
    connection: &mut PgConnection,
) -> Ran {
    let mut broken: Option<Vec<Box<dyn Job>>> = None;
    for (operation, caller) in operations.into_iter().zip(callers) {
        match &mut broken {
            // Nothing of it was sent: it waits for the next connection.
            Some(retry) => retry.push(Box::new(Waiting { operation, caller })),
            None => {
                let alone = run_batch(vec![operation], vec![caller], connection);
                broken = Box::pin(alone).await.broken;
            }
        }
    }
    Ran { broken }
}
