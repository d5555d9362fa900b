//! Runs a throwaway PostgreSQL until Ctrl-C, or as long as a command runs on it:
//! `cargo run -p oauth-storage-testbed [-- COMMAND ARGUMENT…]`.
//!
//! The URL of the server is passed to the command in `DATABASE_URL` and `OAUTH_STORAGE_DATABASE_URL`.

use std::process::{Command, ExitCode};

use oauth_storage_testbed::{Error, Testbed};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failure = match runtime {
        Ok(runtime) => match runtime.block_on(serve()) {
            Ok(code) => return code,
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    eprintln!("{failure}");
    ExitCode::FAILURE
}

async fn serve() -> Result<ExitCode, Error> {
    let testbed = Testbed::private().await?;
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        println!("{testbed}");
        if let Some(cluster) = testbed.cluster() {
            println!("data: {}", cluster.data_dir().display());
        }
        println!("DATABASE_URL={}", testbed.url());
        return std::future::pending().await;
    };
    let status = Command::new(&program)
        .args(arguments)
        .env("DATABASE_URL", testbed.url())
        .env("OAUTH_STORAGE_DATABASE_URL", testbed.url())
        .status();
    Ok(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: {error}", program.display());
            ExitCode::FAILURE
        }
    })
}
