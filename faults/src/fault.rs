//! The faults, one a file.

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
    /// Injects it under load.
    pub(crate) run: fn(Extent) -> Running,
}

/// How much of a fault is injected.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    pub(crate) short: bool,
    /// For what takes a time that matters.
    pub(crate) seconds: Option<u64>,
}

impl Extent {
    /// One of the two.
    pub(crate) fn of<T>(self, short: T, full: T) -> T {
        if self.short { short } else { full }
    }

    /// One of the two, or the time that was asked for.
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

/// What this process has to do if it is another's child: it loads the database that the variable
/// names.
pub(crate) fn work_of_child() -> Option<Pin<Box<dyn Future<Output = ExitCode>>>> {
    let url = std::env::var(contention::CHILD).ok()?;
    Some(Box::pin(contention::child(url)))
}
