//! Calls the storage, and writes down the outcomes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::PgStorage;
use oauth_storage::error::Result;

use crate::cut::{Cut, When, cut};
use crate::ledger::Ledger;
use crate::outcome::Outcome;

/// A storage with a ledger.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) storage: PgStorage,
    pub(crate) ledger: Arc<Ledger>,
    /// The share of calls that are dropped before they end, in percent.
    pub(crate) dropped_percent: u32,
    /// Errors of this caller and its clones.
    failed: Arc<AtomicU64>,
}

/// The outcome of a call, and its value if it was acknowledged.
pub(crate) struct Reply<T> {
    pub(crate) outcome: Outcome,
    pub(crate) value: Option<T>,
}

impl Caller {
    pub(crate) fn new(storage: PgStorage, ledger: Arc<Ledger>) -> Self {
        Self { storage, ledger, dropped_percent: 0, failed: Arc::default() }
    }

    /// Another caller of the same storage, with its own count of errors.
    pub(crate) fn another(&self) -> Self {
        Self { failed: Arc::default(), ..self.clone() }
    }

    /// The number of errors.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Reply<T> {
        let dropped = self.dropped_percent > 0 && fastrand::u32(0..100) < self.dropped_percent;
        if dropped && fastrand::bool() {
            // While the statement runs, which takes about a millisecond.
            let time = Duration::from_micros(fastrand::u64(0..4000));
            let started = Instant::now();
            let result = tokio::time::timeout(time, call).await.ok();
            return self.reply(result, Outcome::Unknown, started).0;
        }
        let at = dropped.then(|| Cut {
            polls: fastrand::u32(0..4),
            when: if fastrand::bool() { When::AtOnce } else { When::WhenWoken },
        });
        self.call_cut(call, at).await.0
    }

    /// Runs a call that is dropped at a cut. Returns true if it got there.
    pub(crate) async fn call_cut<T>(
        &self,
        call: impl Future<Output = Result<T>>,
        at: Option<Cut>,
    ) -> (Reply<T>, bool) {
        let started = Instant::now();
        let result = match at {
            None => Some(call.await),
            Some(at) => cut(call, at).await,
        };
        // A future that was never polled did nothing.
        let never = at.is_some_and(|at| at.polls == 0);
        self.reply(result, if never { Outcome::Refused } else { Outcome::Unknown }, started)
    }

    /// Writes down the outcome, which for a dropped call is the given one. Returns true if it was
    /// dropped.
    fn reply<T>(
        &self,
        result: Option<Result<T>>,
        dropped: Outcome,
        started: Instant,
    ) -> (Reply<T>, bool) {
        let was_dropped = result.is_none();
        let reply = match result {
            None => Reply { outcome: dropped, value: None },
            Some(Ok(value)) => Reply { outcome: Outcome::Acknowledged, value: Some(value) },
            Some(Err(error)) => {
                self.ledger.tally.error(&error);
                self.failed.fetch_add(1, Ordering::Relaxed);
                Reply { outcome: Outcome::of_error(&error), value: None }
            }
        };
        self.ledger.tally.outcome(reply.outcome, started.elapsed());
        (reply, was_dropped)
    }
}
