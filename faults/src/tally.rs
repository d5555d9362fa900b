//! The counts of a row, and what contradicts what was told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oauth_storage::Error;

use crate::ledger::Told;

/// How many contradictions are kept in words; all are counted.
const WORDS: usize = 20;

#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// A row's figures.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    /// The database, or a later answer, contradicts what was told.
    pub(crate) lost: u64,
    pub(crate) contradictions: Vec<String>,
    /// How often each variant of the error was met.
    pub(crate) errors: BTreeMap<String, u64>,
    /// One message of those variants that no fault excuses, for none asks to mend the input.
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

    pub(crate) fn told(&self, told: Told, took: Duration) {
        let mut counts = self.counts();
        match told {
            Told::Acknowledged => counts.acknowledged += 1,
            Told::Refused => counts.refused += 1,
            Told::Unknown => counts.unknown += 1,
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
        if counts.contradictions.len() < WORDS {
            counts.contradictions.push(what());
        }
    }

    /// Adds what another process counted.
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
