//! Argon2id hashing of passwords and chosen client secrets, on blocking threads.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// 19 MiB, two passes, one lane, as the OWASP Password Storage Cheat Sheet recommends. A check
/// takes about 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Limits concurrent hashes, each of which takes 19 MiB and a core: as many at once as there are
/// cores, and a bounded number waiting.
struct Limiter {
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The limits are separate, so that whoever guesses client secrets does not keep users from signing in.
#[cfg(feature = "postgres")]
static USERS: LazyLock<Limiter> = LazyLock::new(|| Limiter::new(cores(), 64 * cores()));
static CLIENTS: LazyLock<Limiter> = LazyLock::new(|| Limiter::new(cores(), 64 * cores()));

/// The owner of a secret.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    #[cfg(feature = "postgres")]
    User,
    Client,
}

impl Owner {
    fn limiter(self) -> &'static Limiter {
        match self {
            #[cfg(feature = "postgres")]
            Self::User => &USERS,
            Self::Client => &CLIENTS,
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A hash to verify against if there is none, so that an unknown name costs as much as a wrong
/// password.
static DUMMY_HASH: LazyLock<String> = LazyLock::new(|| {
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

/// Hashes a secret and returns the PHC string.
pub(crate) async fn hash(owner: Owner, secret: Secret) -> Result<String> {
    limited(owner, move || hash_blocking(&secret)).await?
}

/// Returns true for an Argon2id hash as a PHC string, whose check costs at most 256 MiB, ten passes and
/// 16 lanes.
pub(crate) fn is_hash(hash: &str) -> bool {
    hash.starts_with("$argon2id$")
        && PasswordHash::new(hash).is_ok_and(|parsed| {
            let is_whole = parsed.hash.is_some() && parsed.salt.is_some();
            is_whole
                && Params::try_from(&parsed).is_ok_and(|cost| {
                    cost.m_cost() <= 256 * 1024 && cost.t_cost() <= 10 && cost.p_cost() <= 16
                })
        })
}

/// Returns true if the secret matches the hash. Without a hash returns false, at the same cost.
pub(crate) async fn verify(owner: Owner, secret: Secret, hash: Option<String>) -> Result<bool> {
    limited(owner, move || {
        let known = hash.is_some();
        let hash = hash.as_deref().unwrap_or(&DUMMY_HASH);
        let hash = PasswordHash::new(hash).map_err(|error| failed(&error))?;
        // The parameters are those of the stored hash, so old hashes stay valid.
        let matches = argon2()?.verify_password(secret.expose().as_bytes(), &hash).is_ok();
        Ok(known && matches)
    })
    .await?
}

async fn limited<T: Send + 'static>(
    owner: Owner,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    owner.limiter().run(work).await
}

impl Limiter {
    fn new(at_once: usize, waiting: usize) -> Self {
        Self { at_once: Arc::new(Semaphore::new(at_once)), waiting: Semaphore::new(waiting) }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let overloaded =
            |_| Error::Overloaded { message: "too many passwords are being checked".into() };
        let _waiting = self.waiting.try_acquire().map_err(overloaded)?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await.map_err(|e| failed(&e))?;
        let worked = tokio::task::spawn_blocking(move || {
            // Held by the work itself, which continues if the caller is dropped.
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
        let made = hash(Owner::Client, Secret::new("wonderland")).await.unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert!(
            verify(Owner::Client, Secret::new("wonderland"), Some(made.clone())).await.unwrap()
        );
        assert!(
            !verify(Owner::Client, Secret::new("Wonderland"), Some(made.clone())).await.unwrap()
        );
        assert!(!verify(Owner::Client, Secret::new("wonderland"), None).await.unwrap());
        assert_ne!(made, hash(Owner::Client, Secret::new("wonderland")).await.unwrap(), "salted");
    }

    #[tokio::test]
    async fn calls_beyond_the_limit_are_refused() {
        let limiter = Limiter::new(1, 3);
        let run =
            || limiter.run(|| std::thread::park_timeout(std::time::Duration::from_millis(50)));
        let (a, b, c, d) = tokio::join!(run(), run(), run(), run());
        assert!(a.is_ok() && b.is_ok() && c.is_ok(), "queued calls run");
        assert!(matches!(d, Err(Error::Overloaded { .. })), "{d:?}");
        assert!(run().await.is_ok(), "the queue is free again");
    }
}
