//! Statements in the background: few at a time, and none for a while after a failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The most statements at a time.
const AT_ONCE: usize = 16;
/// The pause after a failure, as on a standby.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Background {
    turns: Arc<Semaphore>,
    paused_until: Mutex<Option<Instant>>,
}

/// The permission to run one statement.
pub(super) struct Turn {
    background: Arc<Background>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Background {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), paused_until: Mutex::default() }
    }
}

impl Background {
    /// Returns `None` if as many statements as allowed are running, or one failed a moment ago.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Turn> {
        let paused_until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let permit = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        Some(Turn { background: Arc::clone(self), _permit: permit })
    }
}

impl Turn {
    pub(super) fn failed(&self) {
        let until = Some(Instant::now() + PAUSE);
        *self.background.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}
