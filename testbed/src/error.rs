use std::path::PathBuf;

/// What to do when there is no PostgreSQL to be had.
const ADVICE: &str = "Install PostgreSQL 14 or newer (Debian: apt install postgresql; \
    macOS: brew install postgresql@17), or run `docker compose up -d --wait` and set DATABASE_URL";

/// Why there is no test server or database. No message holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a server nor the means to start one.
    #[error("found no PostgreSQL:{}\n{ADVICE}", bullets(.tried))]
    NotFound {
        /// Each place that was looked at, and what was wrong with it.
        tried: Vec<String>,
    },

    /// The server that an environment variable names cannot be used.
    #[error(
        "cannot use the PostgreSQL that {variable} names: {reason}. Put that right, or unset {variable} and the testbed looks for another"
    )]
    Unusable {
        /// The environment variable.
        variable: &'static str,
        /// What went wrong.
        reason: String,
    },

    /// PostgreSQL is installed, but a private server did not start.
    #[error("PostgreSQL in {} did not start: {reason}", .bin.display())]
    Start {
        /// The folder of the binaries.
        bin: PathBuf,
        /// What went wrong, with the end of the log where there is one.
        reason: String,
    },

    /// A private server did not obey, for instance because it is not running.
    #[error("the private PostgreSQL failed to {command}: {reason}")]
    Control {
        /// What was asked of it.
        command: String,
        /// What went wrong, with the end of the log where there is one.
        reason: String,
    },

    /// A database could not be made, prepared or dropped.
    #[error("cannot {action} the database {name}: {source}")]
    Database {
        /// What was to be done with it, such as "create".
        action: &'static str,
        /// The database's name.
        name: String,
        /// The server's answer.
        source: sqlx::Error,
    },
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  - {line}")).collect()
}
