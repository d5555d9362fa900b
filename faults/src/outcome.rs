//! The outcome of a call as its caller knows it.

use oauth_storage::Error;
use oauth_storage::error::Advice;

/// The effect of a call. Ordered by how much the call may have changed: of several outcomes about
/// the same thing the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It failed, and nothing was changed.
    Refused,
    /// It took effect as a whole, or not at all.
    Unknown,
    /// It took effect.
    Acknowledged,
}

impl Outcome {
    /// The outcome by the advice of the error, as an application would decide.
    pub(crate) fn of_error(error: &Error) -> Self {
        match error.advice() {
            Advice::CheckOutcome => Self::Unknown,
            _ => Self::Refused,
        }
    }
}
