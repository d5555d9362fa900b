//! The calls that wait for a lane of one kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queued::{Queued, QueuedCall, Ran};
use super::schedule::{Schedule, Stage, Ticket};
use crate::error::{Error, Result};
use crate::postgres::error::Effect;
use crate::postgres::telemetry;

/// The most members of one statement. More gain little and make the others wait.
const BATCH: usize = 256;

pub(super) struct Queue {
    state: Mutex<State>,
    work: Notify,
    effect: Effect,
    limit: usize,
    /// Members of a statement at most.
    batch: usize,
    is_cluster: bool,
    pub(super) meter: telemetry::Lanes,
}

struct State {
    calls: Schedule<Box<dyn QueuedCall>>,
    open: bool,
    /// Lanes that are kept. Without any, nothing that waits is ever done.
    lanes: u32,
    /// Why the last attempt to connect failed, while no lane has a connection.
    down: Option<String>,
    connected: usize,
}

impl Queue {
    /// For so many lanes.
    pub(super) fn new(effect: Effect, limit: usize, lanes: u32, is_cluster: bool) -> Self {
        let batch = if is_cluster { 1 } else { BATCH };
        let calls = Schedule::new();
        let state = State { calls, open: true, lanes, down: None, connected: 0 };
        let meter = telemetry::Lanes::new(effect);
        Self {
            state: Mutex::new(state),
            work: Notify::new(),
            effect,
            limit,
            batch,
            is_cluster,
            meter,
        }
    }

    /// Never held across an await, and nothing that holds it panics halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the calls, keeps the gauge in step, and wakes a lane if there is something for it.
    fn change<T>(&self, wake: bool, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let waited = state.calls.waiting();
        let changed = change(&mut state);
        let stranded = if state.lanes == 0 && state.calls.waiting() > 0 {
            state.calls.drain()
        } else {
            Vec::new()
        };
        let waiting = state.calls.waiting();
        self.meter.queued(waiting.saturating_sub(waited));
        self.meter.left_queue(waited.saturating_sub(waiting));
        // A lane of a queue that was closed ends once nothing waits.
        let wake = wake && (state.calls.has_ready() || !state.open);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        for call in stranded {
            call.refuse(runtime_ended());
        }
        changed
    }

    /// Queues a call.
    ///
    /// Returns `Error::Overloaded` if the queue is full, and `Error::Configuration` if it was closed
    /// or no lane is left.
    pub(super) fn push(&self, call: Box<dyn QueuedCall>) -> Result<Ticket> {
        let ticket = self.change(false, |state| {
            if !state.open {
                return Err(Error::configuration("the storage was closed"));
            }
            if state.lanes == 0 {
                return Err(runtime_ended());
            }
            // Calls behind one key have a limit of their own, so that they cannot keep others out.
            let is_behind = call.key().is_some_and(|key| state.calls.is_busy(key));
            let waiting = if is_behind { state.calls.behind() } else { state.calls.ready() };
            if waiting >= self.limit {
                return Err(Error::Overloaded {
                    message: format!("{waiting} calls are waiting already"),
                });
            }
            Ok(state.calls.push(call.statement(), call.key(), call))
        })?;
        // For one caller's calls one after the other: a write is faster on the session that ran the
        // last one, for it is warm; a read on another one, for the last is still tidying up.
        match self.effect {
            Effect::Read => self.work.notify_one(),
            Effect::Write => self.work.notify_last(),
        }
        Ok(ticket)
    }

    /// Withdraws a call that was not sent, and says why it was not. `None` if it was.
    pub(super) fn give_up(&self, ticket: Ticket) -> Option<Error> {
        let (withdrawn, down) =
            self.change(true, |state| (state.calls.withdraw(ticket), state.down.clone()));
        let (stage, _call) = withdrawn?;
        Some(match (stage, down) {
            (Stage::Behind, None) => Error::Overloaded {
                message: "an earlier call for the same row was not finished before the deadline"
                    .into(),
            },
            (Stage::Aside, _) => still_locked(),
            (_, Some(message)) => Error::Unavailable { message, source: None },
            (_, None) => {
                Error::Overloaded { message: "no lane was free before the deadline".into() }
            }
        })
    }

    /// The next batch, once there is one; `None` when the queue was closed and nothing waits.
    pub(super) async fn take(&self) -> Option<Taken<'_>> {
        loop {
            let (calls, more, ends) = self.change(false, |state| {
                let calls = state.calls.take(self.batch, |call| call.is_wanted());
                (calls, state.calls.has_ready(), !state.open && state.calls.waiting() == 0)
            });
            if more || (ends && calls.is_empty()) {
                // Another lane takes the rest, or ends.
                self.work.notify_one();
            }
            if !calls.is_empty() {
                return Some(Taken::new(self, calls));
            }
            if ends {
                return None;
            }
            // What was pushed meanwhile left a permit.
            self.work.notified().await;
        }
    }

    /// Takes a call that waits beside the lanes, unless its caller gave up.
    pub(super) fn take_aside(&self, ticket: Ticket) -> Option<Box<dyn QueuedCall>> {
        self.change(false, |state| state.calls.take_aside(ticket))
    }

    /// Ends a call beside the lanes. If it was not sent, its caller is told why.
    pub(super) fn end_aside(&self, ticket: Ticket, unsent: Error) {
        let withdrawn = self.change(true, |state| {
            state.calls.finish(ticket);
            state.calls.withdraw(ticket)
        });
        if let Some((_, call)) = withdrawn {
            call.refuse(unsent);
        }
    }

    /// Wakes a lane if there is something for it.
    pub(super) fn wake(&self) {
        self.change(true, |_| ());
    }

    pub(super) fn close(&self) {
        self.change(true, |state| state.open = false);
    }

    /// Returns true while calls may come, or wait: those are still done when the queue is closed.
    pub(super) fn needs_lane(&self) -> bool {
        let state = self.state();
        state.open || state.calls.calls().any(|call| call.is_wanted())
    }

    /// One more lane has a connection, for as long as the guard lives.
    pub(super) fn connected(&self) -> Connected<'_> {
        let mut state = self.state();
        state.connected += 1;
        state.down = None;
        self.meter.connected();
        Connected(self)
    }

    pub(super) fn cannot_connect(&self, error: &Error) {
        let mut state = self.state();
        if state.connected == 0 {
            state.down = Some(error.to_string());
        }
    }
}

/// Nothing was changed while the call waited.
pub(super) fn still_locked() -> Error {
    Error::Unavailable {
        message: "somebody held a lock on the row or the table until the deadline".into(),
        source: None,
    }
}

pub(super) fn runtime_ended() -> Error {
    Error::configuration(
        "the tokio runtime that the storage was made on has ended; make the storage on the runtime \
         that uses it",
    )
}

/// One more lane has a connection.
pub(super) struct Connected<'a>(&'a Queue);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.state().connected -= 1;
        self.0.meter.disconnected();
    }
}

/// Held by each lane. When the last one is dropped with its runtime, waiting calls are refused.
pub(super) struct Kept(pub(super) Arc<Queue>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.change(true, |state| state.lanes -= 1);
    }
}

/// The place of a caller in the queue. If the caller goes away, its call leaves the queue.
pub(super) struct Place<'a> {
    queue: &'a Queue,
    ticket: Option<Ticket>,
}

impl<'a> Place<'a> {
    pub(super) fn new(queue: &'a Queue, ticket: Ticket) -> Self {
        Self { queue, ticket: Some(ticket) }
    }

    /// See [`Queue::give_up`].
    pub(super) fn give_up(&mut self) -> Option<Error> {
        self.ticket.take().and_then(|ticket| self.queue.give_up(ticket))
    }

    /// The caller was answered.
    pub(super) fn answered(&mut self) {
        self.ticket = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Calls that a lane has taken. Whatever becomes of the lane, their keys are free afterwards.
pub(super) struct Taken<'a> {
    queue: &'a Queue,
    tickets: Vec<Ticket>,
    calls: Vec<Queued>,
}

impl<'a> Taken<'a> {
    fn new(queue: &'a Queue, calls: Vec<Queued>) -> Self {
        let tickets = calls.iter().map(|(ticket, _)| *ticket).collect();
        Self { queue, tickets, calls }
    }

    /// The number of calls, and the name of their statement.
    pub(super) fn size(&self) -> (usize, &'static str) {
        (self.calls.len(), self.calls.first().map_or("", |(_, call)| call.name()))
    }

    /// Runs them as one statement.
    pub(super) async fn run(&mut self, connection: &mut PgConnection) -> Ran {
        let mut calls = std::mem::take(&mut self.calls).into_iter();
        let Some((ticket, first)) = calls.next() else { return Ran::default() };
        first.run_batch(ticket, calls.collect(), connection, self.queue.is_cluster).await
    }

    /// Puts all of them back: nothing was sent.
    pub(super) fn put_back(mut self) {
        let back = std::mem::take(&mut self.calls);
        self.settle(Ran { is_broken: true, back, aside: Vec::new() });
    }

    /// Puts back what was not done, and ends the rest, but for what has to wait aside: that is
    /// returned with its deadline.
    pub(super) fn settle(mut self, ran: Ran) -> Vec<(Ticket, Instant)> {
        let tickets = std::mem::take(&mut self.tickets);
        let aside = ran.aside.iter().map(|(ticket, call)| (*ticket, call.until())).collect();
        // The lane that calls takes the next batch by itself, unless its connection broke.
        self.queue.change(ran.is_broken, |state| {
            for (ticket, call) in ran.back.into_iter().rev() {
                state.calls.put_back(ticket, call);
            }
            for (ticket, call) in ran.aside {
                state.calls.set_aside(ticket, call);
            }
            state.finish(&tickets);
        });
        aside
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.tickets.is_empty() {
            self.queue.change(true, |state| state.finish(&self.tickets));
        }
    }
}

impl State {
    fn finish(&mut self, tickets: &[Ticket]) {
        for ticket in tickets {
            self.calls.finish(*ticket);
        }
    }
}
