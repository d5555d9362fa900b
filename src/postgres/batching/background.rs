//! Statements in the background: few at a time, one for each row, and none for a while after a failure.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The pause after a failure, as on a standby.
const PAUSE: Duration = Duration::from_secs(60);

/// Limits the statements in the background.
#[derive(Debug)]
pub(super) struct Background {
    /// The most statements at a time.
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The keys of the statements that run.
    running: HashSet<u128>,
    paused_until: Option<Instant>,
}

/// The permission to run one statement.
pub(super) struct Turn {
    background: Arc<Background>,
    key: u128,
}

impl Background {
    /// At most a quarter of the connections, so that most are free for callers.
    pub(super) fn new(connections: u32) -> Self {
        let at_once = usize::try_from(connections / 4).unwrap_or(1).max(1);
        Self { at_once, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `None` if as many statements as allowed are running, or one with this key, or if one
    /// failed a moment ago.
    pub(super) fn begin(self: &Arc<Self>, key: u128) -> Option<Turn> {
        let mut state = self.state();
        let is_paused = state.paused_until.is_some_and(|until| Instant::now() < until);
        if is_paused || state.running.len() >= self.at_once || !state.running.insert(key) {
            return None;
        }
        Some(Turn { background: Arc::clone(self), key })
    }
}

impl Turn {
    pub(super) fn failed(&self) {
        self.background.state().paused_until = Some(Instant::now() + PAUSE);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.background.state().running.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_statements_run_and_one_for_each_key() {
        let background = Arc::new(Background::new(8));
        let first = background.begin(1).unwrap();
        assert!(background.begin(1).is_none(), "the same row");
        let second = background.begin(2).unwrap();
        assert!(background.begin(3).is_none(), "a quarter of eight");
        drop(first);
        assert!(background.begin(1).is_some());
        second.failed();
        drop(second);
        assert!(background.begin(4).is_none(), "paused after a failure");
        assert!(Arc::new(Background::new(1)).begin(1).is_some());
    }
}
