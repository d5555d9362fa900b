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
    /// Injects it under load, or less of it if it is to be short.
    pub(crate) run: fn(short: bool) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Result<Row>>>>;

macro_rules! faults {
    ($($name:ident),*) => {
        &[$(Fault { name: stringify!($name), run: |short| Box::pin($name::run(short)) }),*]
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
