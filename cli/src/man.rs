//! `oauth-storage man`: the manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::Cli;
use crate::error::{Error, Result};

/// Write the manual pages, one for each command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, such as /usr/local/share/man/man1; it is created if it does not exist.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Args { dir } = args;
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
        .map_err(|error| Error::Failed(format!("cannot write to {}: {error}", dir.display())))?;
    Ok(ExitCode::SUCCESS)
}
