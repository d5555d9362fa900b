//! The queue of the read lanes or of the write lanes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::queued::{Queued, QueuedCall, Ran};
use super::schedule::{Schedule, Stage, Ticket};
use crate::error::{Error, Result};
use crate::postgres::error::Effect;
use crate::postgres::telemetry;

/// The maximum number of calls in a batch. Larger batches gain little and delay other calls.
const BATCH: usize = 256;

pub(super) struct Queue {
    state: Mutex<State>,
    work: Notify,
    effect: Effect,
    limit: usize,
    /// The maximum number of calls in a batch.
    batch: usize,
    is_cluster: bool,
    pub(super) meter: telemetry::Lanes,
}

struct State {
    calls: Schedule<Box<dyn QueuedCall>>,
    open: bool,
    /// The number of running lanes. Without any, waiting calls are refused.
    lanes: u32,
    /// The error of the last attempt to connect, while no lane has a connection.
    down: Option<String>,
    connected: usize,
}

impl Queue {
    /// Creates a queue for this number of lanes.
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

    /// Locks the state. The guard is never held across an await, and no holder panics halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the calls, updates the gauge, and wakes a lane if there is something to run.
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
        // A lane of a closed queue ends once no call waits.
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
            // Calls behind a key have their own limit, so that they cannot keep other calls out.
            let is_behind = call.key().is_some_and(|key| state.calls.is_busy(key));
            let waiting = if is_behind { state.calls.behind() } else { state.calls.ready() };
            if waiting >= self.limit {
                return Err(Error::Overloaded {
                    message: format!("{waiting} calls are already waiting"),
                });
            }
            Ok(state.calls.push(call.statement(), call.key(), call))
        })?;
        // For sequential calls of one caller: a write is faster on the session that ran the last
        // one, which is warm; a read on another one, because the last is still cleaning up.
        match self.effect {
            Effect::Read => self.work.notify_one(),
            Effect::Write => self.work.notify_last(),
        }
        Ok(ticket)
    }

    /// Withdraws a call that was not sent and returns the reason. Returns `None` if it was sent.
    pub(super) fn give_up(&self, ticket: Ticket) -> Option<Error> {
        let (withdrawn, down) =
            self.change(true, |state| (state.calls.withdraw(ticket), state.down.clone()));
        let (stage, _call) = withdrawn?;
        Some(match (stage, down) {
            (Stage::Behind, None) => Error::Overloaded {
                message: "an earlier call for the same row did not finish before the deadline"
                    .into(),
            },
            (Stage::Aside, _) => still_locked(),
            (_, Some(message)) => Error::Unavailable { message, source: None },
            (_, None) => {
                Error::Overloaded { message: "no lane was free before the deadline".into() }
            }
        })
    }

    /// Waits for the next batch. Returns `None` if the queue is closed and no call waits.
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
            // A call that was pushed meanwhile has left a permit.
            self.work.notified().await;
        }
    }

    /// Takes a call that waits outside the lanes, unless its caller gave up.
    pub(super) fn take_aside(&self, ticket: Ticket) -> Option<Box<dyn QueuedCall>> {
        self.change(false, |state| state.calls.take_aside(ticket))
    }

    /// Ends a call outside the lanes. If it was not sent, its caller gets the error.
    pub(super) fn end_aside(&self, ticket: Ticket, unsent: Error) {
        let withdrawn = self.change(true, |state| {
            state.calls.finish(ticket);
            state.calls.withdraw(ticket)
        });
        if let Some((_, call)) = withdrawn {
            call.refuse(unsent);
        }
    }

    /// Wakes a lane if there is something to run.
    pub(super) fn wake(&self) {
        self.change(true, |_| ());
    }

    pub(super) fn close(&self) {
        self.change(true, |state| state.open = false);
    }

    /// Returns true while the queue is open or calls wait. A closed queue still runs its waiting
    /// calls.
    pub(super) fn needs_lane(&self) -> bool {
        let state = self.state();
        state.open || state.calls.calls().any(|call| call.is_wanted())
    }

    /// Counts a lane as connected while the guard lives.
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

/// The error of a call that waited for a lock until its deadline. Nothing was changed.
pub(super) fn still_locked() -> Error {
    Error::Unavailable {
        message: "the row or the table was locked until the deadline".into(),
        source: None,
    }
}

pub(super) fn runtime_ended() -> Error {
    Error::configuration(
        "the tokio runtime that created the storage has ended; create the storage on the runtime \
         that uses it",
    )
}

/// Counts a lane as connected.
pub(super) struct Connected<'a>(&'a Queue);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.state().connected -= 1;
        self.0.meter.disconnected();
    }
}

/// Held by each lane. When the last one is dropped with its runtime, waiting calls are refused.
pub(super) struct LaneGuard(pub(super) Arc<Queue>);

impl Drop for LaneGuard {
    fn drop(&mut self) {
        self.0.change(true, |state| state.lanes -= 1);
    }
}

/// The place of a caller in the queue. Dropping it withdraws the call.
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

    /// Marks the call as answered.
    pub(super) fn answered(&mut self) {
        self.ticket = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Calls that a lane has taken. Their keys are freed on drop, whatever happens to the lane.
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

    /// Runs the calls as one statement.
    pub(super) async fn run(&mut self, connection: &mut PgConnection) -> Ran {
        let mut calls = std::mem::take(&mut self.calls).into_iter();
        let Some((ticket, first)) = calls.next() else { return Ran::default() };
        first.run_batch(ticket, calls.collect(), connection, self.queue.is_cluster).await
    }

    /// Puts all calls back, because none was sent.
    pub(super) fn put_back(mut self) {
        let back = std::mem::take(&mut self.calls);
        self.settle(Ran { is_broken: true, back, ..Ran::default() });
    }

    /// Puts unfinished calls back and ends the others. Returns the calls that must wait outside the
    /// lanes, with their deadlines.
    pub(super) fn settle(mut self, ran: Ran) -> Vec<(Ticket, Instant)> {
        let tickets = std::mem::take(&mut self.tickets);
        let aside = ran.aside.iter().map(|(ticket, call)| (*ticket, call.until())).collect();
        // The calling lane takes the next batch itself, unless its connection broke.
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
