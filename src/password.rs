//! Argon2id for what people choose, off the threads that serve requests.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// 19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's first choice, and RFC
/// 9106's shape. One check costs some 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Each hash takes 19 MiB and a core, so a flood of logins must queue here rather than in memory:
/// as many at once as there are cores, and a bounded number waiting.
struct Gate {
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
}

static GATE: LazyLock<Gate> = LazyLock::new(|| Gate::new(cores(), 64 * cores()));

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Stands in where there is no hash, so that an unknown name costs what a wrong password costs.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    Secret::generate().and_then(|secret| hash_blocking(&secret)).unwrap_or_default()
});

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| failed(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::configuration(format!("Argon2id failed: {error}"))
}

fn hash_blocking(secret: &Secret) -> Result<String> {
    argon2()?
        .hash_password(secret.expose().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| failed(&error))
}

/// The PHC string of a new hash.
pub(crate) async fn hash(secret: Secret) -> Result<String> {
    in_turn(move || hash_blocking(&secret)).await?
}

/// Returns true if the secret is the one that was hashed. Without a hash it returns false, at the same
/// cost.
pub(crate) async fn verify(secret: Secret, hash: Option<String>) -> Result<bool> {
    in_turn(move || {
        let known = hash.is_some();
        let hash = hash.as_deref().unwrap_or(&NOBODY);
        let hash = PasswordHash::new(hash).map_err(|error| failed(&error))?;
        // The parameters are those of the stored hash, so old hashes stay good.
        let matches = argon2()?.verify_password(secret.expose().as_bytes(), &hash).is_ok();
        Ok(known && matches)
    })
    .await?
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    GATE.pass(work).await
}

impl Gate {
    fn new(at_once: usize, waiting: usize) -> Self {
        Self { at_once: Arc::new(Semaphore::new(at_once)), waiting: Semaphore::new(waiting) }
    }

    async fn pass<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let overloaded =
            |_| Error::Overloaded { message: "too many passwords are being checked".into() };
        let _waiting = self.waiting.try_acquire().map_err(overloaded)?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await.map_err(|e| failed(&e))?;
        let worked = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a caller that goes away must not let another one in early.
            let _permit = permit;
            work()
        });
        worked.await.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s15_argon2id_with_the_stated_cost() {
        let made = hash(Secret::new("wonderland")).await.unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert!(verify(Secret::new("wonderland"), Some(made.clone())).await.unwrap());
        assert!(!verify(Secret::new("Wonderland"), Some(made.clone())).await.unwrap());
        assert!(!verify(Secret::new("wonderland"), None).await.unwrap());
        assert_ne!(made, hash(Secret::new("wonderland")).await.unwrap(), "salted");
    }

    #[tokio::test]
    async fn a_flood_is_refused_rather_than_queued_without_end() {
        let gate = Gate::new(1, 3);
        let pass = || gate.pass(|| std::thread::park_timeout(std::time::Duration::from_millis(50)));
        let (a, b, c, d) = tokio::join!(pass(), pass(), pass(), pass());
        assert!(a.is_ok() && b.is_ok() && c.is_ok(), "those that wait have their turn");
        assert!(matches!(d, Err(Error::Overloaded { .. })), "{d:?}");
        assert!(pass().await.is_ok(), "and then there is room again");
    }
}
