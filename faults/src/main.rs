//! The faults that the storage has to survive, injected under load: `cargo run --release -p faults`.
//!
//! Callers walk grants (codes, redemptions, rotations, revocations) and write down the outcome of
//! each call: acknowledged, refused or unknown. Afterwards the rows are read on another connection:
//! acknowledged rows are stored, refused rows are not, rows with an unknown outcome are stored as a
//! whole or not at all; nothing was issued twice, and nothing of a revoked grant is active.
//!
//! It needs the PostgreSQL programs, Linux (it signals the processes of the server), and root for the
//! full disk.

mod args;
mod caller;
mod cut;
mod database;
mod error;
mod extent;
mod fault;
mod forward;
mod ledger;
mod load;
mod outcome;
mod processes;
mod random;
mod report;
mod scene;
mod tally;
mod verdict;
mod walk;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use args::Args;
use report::Report;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(work) = fault::work_of_child() {
        return work.await;
    }
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("{reason}\n\n{}", args::HELP);
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    println!("{}", Report::header());
    for fault in fault::FAULTS.iter().filter(|fault| args.wants(fault.name)) {
        let limit = args.extent.of(Duration::from_mins(2), Duration::from_mins(30));
        let line = match tokio::time::timeout(limit, (fault.run)(args.extent)).await {
            Ok(Ok(row)) => report.row(fault.name, row),
            Ok(Err(error)) => report.unfinished(fault.name, error.to_string()),
            Err(_) => report.unfinished(fault.name, format!("it did not end within {limit:?}")),
        };
        println!("{line}");
    }
    println!("{report}");
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
