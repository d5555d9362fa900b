//! `oauth-storage`: the operator's command for a database of oauth-storage.

mod context;
mod doctor;
mod error;
mod output;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Options};
use error::Result;

/// Looks after a database of oauth-storage: schema, clients, users, grants, sessions, consents, keys, upkeep.
///
/// Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused; `doctor`: 5 with warnings, 6 with errors.
#[derive(Parser)]
#[command(name = "oauth-storage", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Doctor(doctor::Args),
    Top(top::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let context = Context::new(options);
    match run(command, &context).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("oauth-storage: {error}");
            error.status()
        }
    }
}

async fn run(command: Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Doctor(args) => doctor::run(&args, context).await,
        Command::Top(args) => top::run(&args, context).await,
    }
}
