//! Replay identifiers: `jti` of client assertions (RFC 7523 3) and DPoP proofs (RFC 9449 11.1), and whatever
//! else may be used once.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::check::{MAX_TEXT_BYTES, check_text};
use crate::error::Result;
use crate::record::{NewRecord, RecordKind, check_expires_in};

/// Storage of replay identifiers.
#[async_trait]
pub trait ReplayStorage: Send + Sync {
    /// Claims an identifier. Of any number of calls on any number of nodes exactly one is
    /// [`First`](ClaimOutcome::First), until the claim expires.
    ///
    /// Claim outside a transaction: a rollback takes the claim back, and until the commit every other claim
    /// of the identifier waits.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oauth_storage::replay::{Claim, ClaimOutcome};
    /// use oauth_storage::{MemoryStorage, ReplayStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// // A DPoP proof for an address (`htu`) is accepted for a minute (RFC 9449 11.1).
    /// let address = "https://issuer.example/token";
    /// let claim = Claim::new(address, "e1j3V_bKic8-LAEB", Duration::from_secs(60));
    /// assert_eq!(storage.claim(claim.clone()).await?, ClaimOutcome::First);
    /// assert_eq!(storage.claim(claim).await?, ClaimOutcome::Seen);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid. On
    /// any other error refuse the request: the identifier may have been claimed.
    async fn claim(&self, claim: Claim) -> Result<ClaimOutcome>;
}

forward!(ReplayStorage {
    fn claim(&self, claim: Claim) -> Result<ClaimOutcome>;
});

/// A claim of an identifier. Only a digest of it is stored.
#[derive(Clone)]
#[non_exhaustive]
pub struct Claim {
    /// The context in which the identifier is unique, such as the issuer of the assertion. Two contexts
    /// never share an identifier.
    pub namespace: String,
    /// The identifier, such as `jti`.
    pub identifier: String,
    /// The time for which it counts as seen: until the assertion or the proof would be refused as too old.
    /// Limit the lifetime of assertions first, because the row stays as long.
    pub expires_in: Duration,
}

/// Omits the identifier.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("namespace", &self.namespace)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl Claim {
    /// A claim of an identifier for a time.
    pub fn new(
        namespace: impl Into<String>,
        identifier: impl Into<String>,
        expires_in: Duration,
    ) -> Self {
        Self { namespace: namespace.into(), identifier: identifier.into(), expires_in }
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        check_text("namespace", &self.namespace, MAX_TEXT_BYTES)?;
        check_text("identifier", &self.identifier, MAX_TEXT_BYTES)?;
        check_expires_in(self.expires_in)
    }

    pub(crate) fn into_record(self) -> Result<NewRecord> {
        self.check()?;
        Ok(NewRecord {
            kind: RecordKind::Replay,
            digest: RecordKind::Replay.digest(&[&self.namespace, &self.identifier]),
            client_id: None,
            value: None,
            expires_in: self.expires_in,
        })
    }
}

/// The outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum ClaimOutcome {
    /// Nobody has claimed the identifier before, or that claim has expired. Accept the request.
    First,
    /// The identifier was claimed before. Refuse the request.
    Seen,
}

impl ClaimOutcome {
    pub(crate) const fn new(is_new: bool) -> Self {
        if is_new { Self::First } else { Self::Seen }
    }
}
