//! `oauth-storage completions`: completions for a shell.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Cli;
use crate::error::Result;

/// Write the completions for a shell: source <(oauth-storage completions bash)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // The generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "oauth-storage", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        // With a hyphen in the program's name, the script looks for states that it never enters (clap #6421).
        script = script.replace("oauth__subcmd__storage", "oauth__storage");
    }
    stdout().write_all(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
