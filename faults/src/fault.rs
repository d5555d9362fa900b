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

use crate::error::Result;
use crate::extent::Extent;
use crate::report::Row;

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Injects the fault under load.
    pub(crate) run: fn(Extent) -> Running,
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
