use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use oauth_storage::error::Result;
use oauth_storage::{ClientRegistry, GrantStorage, GrantStorageExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const DAY: Duration = Duration::from_hours(24);

/// Settings of a [`PurgeTask`].
///
/// ```
/// use std::time::Duration;
///
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_axum::Purge;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let storage = MemoryStorage::new();
/// let purge = Purge::every(Duration::from_mins(5))
///     .with_unused_clients(Duration::from_hours(24 * 30))
///     .spawn(storage.clone());
/// // axum::serve(listener, app).with_graceful_shutdown(end).await?;
/// purge.stop().await;
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    every: Duration,
    unused_clients: Option<Duration>,
}

impl Purge {
    /// A purge of expired rows at this interval, and soon after the start.
    ///
    /// Each wait differs by up to a tenth, so that nodes which start together do not purge together.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self { every: interval, unused_clients: None }
    }

    /// Once a day, also deletes the clients that registered themselves and were not used for this long, which is two
    /// days or more ([`purge_clients`](ClientRegistry::purge_clients)).
    #[must_use]
    pub const fn with_unused_clients(mut self, unused_for: Duration) -> Self {
        self.unused_clients = Some(unused_for);
        self
    }

    /// Starts the task.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub fn spawn(self, storage: impl GrantStorage + ClientRegistry + 'static) -> PurgeTask {
        PurgeTask { task: tokio::spawn(async move { self.run(&storage).await }) }
    }

    async fn run<S: GrantStorage + ClientRegistry>(self, storage: &S) {
        let mut clients_at = None::<Instant>;
        sleep(self.every.mul_f64(random() / 10.0)).await;
        let every = self.every.max(Duration::from_millis(1));
        loop {
            report("expired rows", storage.purge().await.map(|purged| purged.rows()));
            if let Some(unused_for) = self.unused_clients
                && clients_at.is_none_or(|at| at.elapsed() >= DAY)
            {
                clients_at = Some(Instant::now());
                report("unused clients", storage.purge_clients(unused_for).await);
            }
            sleep(every.mul_f64(0.9 + random() / 5.0)).await;
        }
    }
}

/// A task that removes expired rows until it is stopped or dropped. It survives errors, which it logs with `tracing`.
///
/// One purge ends before the next one begins. Any number of nodes can run the task. A purge that is stopped halfway
/// loses nothing: the next one continues.
#[derive(Debug)]
#[must_use = "the task ends when this is dropped"]
pub struct PurgeTask {
    task: JoinHandle<()>,
}

impl PurgeTask {
    /// Stops the task, and waits until it has ended. Call it before you close the storage.
    pub async fn stop(mut self) {
        self.task.abort();
        // It was aborted, so the only other result is a panic, which tokio has reported.
        let _ = (&mut self.task).await;
    }
}

impl Drop for PurgeTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn report(what: &str, result: Result<u64>) {
    match result {
        Ok(count) => tracing::debug!(count, "{what} removed"),
        Err(error) => tracing::warn!(%error, "{what} not removed; the next purge continues"),
    }
}

/// A number from 0 to 1. The keys of a [`RandomState`] are random, which is enough for a wait.
fn random() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(u32::MAX))
        / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ() {
        let numbers: Vec<f64> = std::iter::repeat_with(random).take(100).collect();
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "{numbers:?}");
        let (low, high) = numbers.iter().fold((1.0, 0.0), |(low, high): (f64, f64), number| {
            (low.min(*number), high.max(*number))
        });
        assert!(low < 0.3 && high > 0.7, "{numbers:?}");
    }
}
