//! Proofs of clients with their keys: DPoP and client assertions.

mod assertion;
mod dpop;
mod jws;

use std::time::SystemTime;

pub(crate) use assertion::Assertion;
pub use dpop::Dpop;
pub(crate) use dpop::bound_token;

/// The time in seconds since 1970 by the clock of this machine, as in the JWTs of clients.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
