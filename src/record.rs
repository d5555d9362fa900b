//! Short-lived records: put once, taken once, changed only from the version that was seen, expired by the
//! storage's clock. The nouns [`replay`](crate::replay), [`pushed_request`](crate::pushed_request) and
//! [`pending_request`](crate::pending_request) are thin layers on it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, InvalidReason, Result};
use crate::secret::TokenHash;
use crate::settings::MAX_LIFETIME;

/// The largest value of a record, as JSON, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 32 * 1024;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Replay,
    Pushed,
    Pending,
    /// The attempts of a guesser of user codes.
    Guesser,
    /// A user code, which has its own table.
    UserCode,
    /// The names of a consent, which has its own table.
    #[cfg(feature = "postgres")]
    Consent,
}

impl RecordKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "j",
            Self::Pushed => "p",
            Self::Pending => "q",
            Self::Guesser => "g",
            Self::UserCode => "u",
            #[cfg(feature = "postgres")]
            Self::Consent => "c",
        }
    }

    /// The digest of an identifier of this kind. Each part is preceded by its length, so that no two
    /// lists of parts have the same digest.
    pub(crate) fn digest(self, parts: &[&str]) -> TokenHash {
        let mut hash = Sha256::new_with_prefix(self.as_str());
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        TokenHash::from_bytes(hash.finalize().into())
    }
}

/// A record to put.
#[derive(Clone)]
pub(crate) struct NewRecord {
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "the memory keeps no kind"))]
    pub(crate) kind: RecordKind,
    pub(crate) digest: TokenHash,
    pub(crate) client_id: Option<String>,
    pub(crate) value: Option<Map<String, Value>>,
    pub(crate) expires_in: Duration,
}

/// A record that was found or taken.
#[derive(Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) value: Map<String, Value>,
    pub(crate) version: i32,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Checks the lifetime of a record.
pub(crate) fn check_expires_in(lifetime: Duration) -> Result<()> {
    // PostgreSQL has a resolution of one microsecond; a shorter lifetime would be none.
    if lifetime < Duration::from_micros(1) || lifetime > MAX_LIFETIME {
        return Err(Error::invalid("expires_in", InvalidReason::OutOfRange));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_the_kind_and_on_where_parts_end() {
        let digest = |kind: RecordKind, parts: &[&str]| kind.digest(parts);
        let (replay, pushed) = (RecordKind::Replay, RecordKind::Pushed);
        assert_eq!(digest(replay, &["ab", "c"]), digest(replay, &["ab", "c"]));
        assert_ne!(digest(replay, &["ab", "c"]), digest(replay, &["a", "bc"]));
        assert_ne!(digest(replay, &["abc"]), digest(replay, &["abc", ""]));
        assert_ne!(digest(replay, &["abc"]), digest(pushed, &["abc"]));
    }
}
