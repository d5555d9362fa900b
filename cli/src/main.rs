//! `oauth-storage`: the operator's command for a database of oauth-storage.

// `println!` panics when the reader has closed the pipe; `output::line` returns an error.
#![deny(clippy::print_stdout)]

mod ask;
mod client;
mod completions;
mod consents;
mod context;
mod doctor;
mod erase_subject;
mod error;
mod file;
mod grants;
mod keys;
mod list;
mod man;
mod migrate;
mod output;
mod purge;
mod sessions;
mod status;
mod token;
mod top;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Options};
use error::Result;

/// Manage a database of oauth-storage: schema, clients, users, grants, sessions, consents, keys, upkeep.
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
    Migrate(migrate::Args),
    Status(status::Args),
    #[command(subcommand)]
    Client(client::Command),
    #[command(subcommand)]
    User(user::Command),
    #[command(subcommand)]
    Grants(grants::Command),
    #[command(subcommand)]
    Sessions(sessions::Command),
    #[command(subcommand)]
    Consents(consents::Command),
    EraseSubject(erase_subject::Args),
    #[command(subcommand)]
    Token(token::Command),
    Purge(purge::Args),
    #[command(subcommand)]
    Keys(keys::Command),
    Doctor(doctor::Args),
    Top(top::Args),
    Completions(completions::Args),
    Man(man::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let context = Context::new(options);
    match run(command, &context).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("oauth-storage: {}", output::visible(&error.to_string()));
            error.status()
        }
    }
}

async fn run(command: Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Migrate(args) => migrate::run(&args, context).await,
        Command::Status(_) => status::run(context).await,
        Command::Client(command) => client::run(&command, context).await,
        Command::User(command) => user::run(&command, context).await,
        Command::Grants(command) => grants::run(&command, context).await,
        Command::Sessions(command) => sessions::run(&command, context).await,
        Command::Consents(command) => consents::run(&command, context).await,
        Command::EraseSubject(args) => erase_subject::run(&args, context).await,
        Command::Token(command) => token::run(&command, context).await,
        Command::Purge(args) => purge::run(&args, context).await,
        Command::Keys(command) => keys::run(&command, context).await,
        Command::Doctor(args) => doctor::run(&args, context).await,
        Command::Top(args) => top::run(&args, context).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
