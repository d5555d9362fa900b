//! Reconnecting a pool: while the server is unreachable, one caller at a time tries to connect.
//!
//! If a connection is refused, sqlx's pool retries by itself, with longer and longer pauses. If it
//! is accepted and closed, as a proxy does for an unreachable server, the pool fails at once, and
//! every call would be an attempt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The first and the longest pause between attempts. Each is twice the one before.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

#[derive(Default)]
pub(super) struct Reconnect {
    is_disconnected: AtomicBool,
    /// Held by the caller that tries to connect; the others wait for it.
    turn: Mutex<()>,
}

impl Reconnect {
    /// Takes a connection from the pool. Returns `None` if there is none before the deadline.
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
        // Another caller has reconnected.
        drop(turn);
        timeout_at(until, pool.acquire()).await.ok()
    }
}
