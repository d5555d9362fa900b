//! Proofs of clients with their keys: DPoP and client assertions.

mod assertion;
mod dpop;
mod jws;

use std::time::{Duration, SystemTime};

pub(crate) use assertion::Assertion;
pub use dpop::Dpop;
pub(crate) use dpop::bound_token;

/// The time for which a `jti` is kept longer than its proof is valid, because the clocks of the nodes differ: one may
/// accept what another one finds too old. The claims end by the clock of the storage.
const SKEW: Duration = Duration::from_mins(10);

/// The time in seconds since 1970 by the clock of this machine, as in the JWTs of clients.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
