//! The extent of a run: short or full.

/// The extent of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    pub(crate) short: bool,
    /// The duration of faults that last a given time.
    pub(crate) seconds: Option<u64>,
}

impl Extent {
    /// One of two values.
    pub(crate) fn of<T>(self, short: T, full: T) -> T {
        if self.short { short } else { full }
    }

    /// One of two durations, or the requested one.
    pub(crate) fn seconds(self, short: u64, full: u64) -> u64 {
        self.seconds.unwrap_or(self.of(short, full))
    }
}
