//! Calls the storage, and writes down what it was told.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::{PgStorage, Result};

use crate::cut::{Cut, When, cut};
use crate::ledger::{Ledger, Told};

/// A storage with a ledger.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) storage: PgStorage,
    pub(crate) ledger: Arc<Ledger>,
    /// Of a hundred calls as many are dropped somewhere in the middle.
    pub(crate) dropped_percent: u32,
    /// Errors that this caller, and its clones, met.
    failed: Arc<AtomicU64>,
}

/// What a call was told, and its value if it was acknowledged.
pub(crate) struct Reply<T> {
    pub(crate) told: Told,
    pub(crate) value: Option<T>,
}

impl Caller {
    pub(crate) fn new(storage: PgStorage, ledger: Arc<Ledger>) -> Self {
        Self { storage, ledger, dropped_percent: 0, failed: Arc::default() }
    }

    /// Another caller of the same storage.
    pub(crate) fn another(&self) -> Self {
        Self { failed: Arc::default(), ..self.clone() }
    }

    /// How many errors it met.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Reply<T> {
        let dropped = self.dropped_percent > 0 && fastrand::u32(0..100) < self.dropped_percent;
        if dropped && fastrand::bool() {
            // While a lane is at it: that takes a millisecond or so.
            let time = Duration::from_micros(fastrand::u64(0..4000));
            let started = Instant::now();
            let result = tokio::time::timeout(time, call).await.ok();
            return self.reply(result, Told::Unknown, started).0;
        }
        let at = dropped.then(|| Cut {
            polls: fastrand::u32(0..4),
            when: if fastrand::bool() { When::AtOnce } else { When::WhenWoken },
        });
        self.call_cut(call, at).await.0
    }

    /// A call that is dropped at a cut, if it gets there; whether it did.
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
        self.reply(result, if never { Told::Refused } else { Told::Unknown }, started)
    }

    /// Writes down what the call was told, and for one that was dropped what is known; whether it
    /// was.
    fn reply<T>(
        &self,
        result: Option<Result<T>>,
        dropped: Told,
        started: Instant,
    ) -> (Reply<T>, bool) {
        let was_dropped = result.is_none();
        let reply = match result {
            None => Reply { told: dropped, value: None },
            Some(Ok(value)) => Reply { told: Told::Acknowledged, value: Some(value) },
            Some(Err(error)) => {
                self.ledger.tally.error(&error);
                self.failed.fetch_add(1, Ordering::Relaxed);
                Reply { told: Told::by(&error), value: None }
            }
        };
        self.ledger.tally.told(reply.told, started.elapsed());
        (reply, was_dropped)
    }
}
