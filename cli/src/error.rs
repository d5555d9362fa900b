//! Errors, and the exit status of each.

use std::fmt;
use std::process::ExitCode;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a command ended early.
#[derive(Debug)]
pub(crate) enum Error {
    /// It could not be done.
    Failed(String),
    /// The arguments contradict each other, or something is missing.
    Usage(String),
    /// The record that the arguments name does not exist.
    NotFound(String),
    /// The answer to a question was no.
    Refused(String),
}

impl Error {
    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Refused(_) => 4,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) | Self::Usage(why) | Self::NotFound(why) | Self::Refused(why) => {
                f.write_str(why)
            }
        }
    }
}

impl From<oauth_storage::Error> for Error {
    fn from(error: oauth_storage::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<sqlx::Error> for Error {
    /// The message of the server without the statement. A malformed URL has been refused before.
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(match error.as_database_error() {
            Some(error) => format!("the database says: {}", error.message()),
            None => error.to_string(),
        })
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
