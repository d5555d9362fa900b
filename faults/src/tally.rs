//! The counts of a row, and the contradictions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oauth_storage::Error;

use crate::outcome::Outcome;

/// The number of contradictions that are kept as text. All are counted.
const KEPT: usize = 20;

#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// The figures of a row.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// The number of outcomes that the database, or a later result, contradicts.
    pub(crate) lost: u64,
    pub(crate) contradictions: Vec<String>,
    /// The number of errors by variant.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The first error that no fault explains, such as `Error::Invalid`.
    pub(crate) unexcused: Option<String>,
    /// The longest call.
    pub(crate) longest: Duration,
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Counts {
        self.counts().clone()
    }

    pub(crate) fn outcome(&self, outcome: Outcome, took: Duration) {
        let mut counts = self.counts();
        match outcome {
            Outcome::Acknowledged => counts.acknowledged += 1,
            Outcome::Refused => counts.refused += 1,
            Outcome::Unknown => counts.unknown += 1,
        }
        counts.longest = counts.longest.max(took);
    }

    pub(crate) fn error(&self, error: &Error) {
        let (name, excused) = match error {
            Error::Unavailable { .. } => ("unavailable", true),
            Error::OutcomeUnknown { .. } => ("outcome unknown", true),
            Error::Overloaded { .. } => ("overloaded", true),
            Error::Invalid { .. } => ("invalid", false),
            Error::Schema(_) => ("schema", false),
            Error::PermissionDenied { .. } => ("permission denied", false),
            Error::Configuration { .. } => ("configuration", false),
            Error::Corrupt { .. } => ("corrupt", false),
            Error::Backend { .. } => ("backend", false),
            _ => ("other", false),
        };
        let mut counts = self.counts();
        *counts.errors.entry(name.to_owned()).or_default() += 1;
        if !excused && counts.unexcused.is_none() {
            counts.unexcused = Some(error.to_string());
        }
    }

    pub(crate) fn contradiction(&self, what: impl FnOnce() -> String) {
        let mut counts = self.counts();
        counts.lost += 1;
        if counts.contradictions.len() < KEPT {
            counts.contradictions.push(what());
        }
    }

    /// Adds the counts of another process.
    pub(crate) fn add(&self, other: Counts) {
        self.counts().absorb(other);
    }
}

impl Counts {
    pub(crate) fn absorb(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.lost += other.lost;
        self.contradictions.extend(other.contradictions);
        for (name, count) in other.errors {
            *self.errors.entry(name).or_default() += count;
        }
        self.unexcused = self.unexcused.take().or(other.unexcused);
        self.longest = self.longest.max(other.longest);
    }
}
