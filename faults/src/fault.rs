//! The faults, one file each.

mod clock;
mod contention;
mod disk;
mod dropped;
mod failover;
mod frozen;
mod killed;
mod migration;
mod overload;
mod terminated;

use std::pin::Pin;
use std::process::ExitCode;

use crate::Result;
use crate::report::Row;

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Injects the fault under load.
    pub(crate) run: fn(Extent) -> Running,
}

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

type Running = Pin<Box<dyn Future<Output = Result<Row>>>>;

macro_rules! faults {
    ($($name:ident),*) => {
        &[$(Fault { name: stringify!($name), run: |extent| Box::pin($name::run(extent)) }),*]
    };
}

pub(crate) static FAULTS: &[Fault] = faults!(
    dropped, terminated, killed, frozen, failover, overload, disk, clock, migration, contention
);

/// The work of this process if it is a child: the load on the database that the variable names.
pub(crate) fn work_of_child() -> Option<Pin<Box<dyn Future<Output = ExitCode>>>> {
    let url = std::env::var(contention::CHILD).ok()?;
    Some(Box::pin(contention::child(url)))
}
