//! A pool whose server is away: one caller at a time looks whether it is back.
//!
//! If a connection is refused, sqlx's pool tries again by itself, ever more slowly. If it is
//! taken and closed, as a proxy does for a server that is away, it gives up at once, and every call
//! would be an attempt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Waits between attempts: the first, and the last, each twice the one before.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

#[derive(Default)]
pub(super) struct Reconnect {
    is_disconnected: AtomicBool,
    /// Held by the caller that tries to connect; the others wait for it.
    turn: Mutex<()>,
}

impl Reconnect {
    /// A connection of the pool; none when there is none before the deadline.
    pub(super) async fn acquire(
        &self,
        pool: &PgPool,
        until: Instant,
    ) -> Option<sqlx::Result<PoolConnection<Postgres>>> {
        let mut error = None;
        if !self.is_disconnected.load(Ordering::Relaxed) {
            match timeout_at(until, pool.acquire()).await.ok()? {
                Err(sqlx::Error::Io(found)) => error = Some(found),
                acquired => return Some(acquired),
            }
            self.is_disconnected.store(true, Ordering::Relaxed);
        }
        let last = |error: Option<std::io::Error>| error.map(|error| Err(sqlx::Error::Io(error)));
        let Ok(turn) = timeout_at(until, self.turn.lock()).await else { return last(error) };
        let mut pause = PAUSE.0;
        while self.is_disconnected.load(Ordering::Relaxed) {
            let next = Instant::now() + pause;
            if next >= until {
                sleep_until(until).await;
                return last(error);
            }
            sleep_until(next).await;
            pause = PAUSE.1.min(pause * 2);
            match timeout_at(until, pool.acquire()).await {
                Ok(Err(sqlx::Error::Io(found))) => error = Some(found),
                Ok(acquired) => {
                    self.is_disconnected.store(false, Ordering::Relaxed);
                    return Some(acquired);
                }
                Err(_) => return last(error),
            }
        }
        // Whoever looked before found it back.
        drop(turn);
        timeout_at(until, pool.acquire()).await.ok()
    }
}
