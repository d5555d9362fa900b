//! From the driver's errors to what the caller has to do.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

use crate::error::{Error, SchemaProblem};

/// Whether a statement changes anything: it decides what a broken connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Read,
    Write,
}

impl Effect {
    /// The statement was cut off in the middle.
    pub(super) fn interrupted(self, message: String, source: Option<sqlx::Error>) -> Error {
        let source = source.map(|source| Box::new(source) as _);
        match self {
            Self::Read => Error::Unavailable { message, source },
            Self::Write => Error::OutcomeUnknown { message, source },
        }
    }
}

/// An error before any statement was sent.
pub(super) fn connect_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Configuration(_) => {
            Error::configuration("the connection options are not usable")
        }
        sqlx::Error::PoolClosed => Error::configuration("the connection pool was closed"),
        sqlx::Error::Tls(source) => Error::Configuration {
            message: "no encrypted connection: turn on a TLS feature of sqlx (such as \
                      `tls-rustls`), and check the server's certificate"
                .into(),
            source: Some(source),
        },
        sqlx::Error::Database(_) => statement_error(error, Effect::Read),
        error => Error::Unavailable {
            message: "the server cannot be reached; check its address, and that it runs".into(),
            source: Some(Box::new(error)),
        },
    }
}

/// An error of a statement.
pub(super) fn statement_error(error: sqlx::Error, effect: Effect) -> Error {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
            Ok(error) => server_error(&error, effect),
            Err(error) => backend(None, error.message().to_owned()),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => {
            effect.interrupted("the connection broke".into(), Some(error))
        }
        sqlx::Error::PoolTimedOut => {
            Error::Overloaded { message: "every connection is busy".into() }
        }
        sqlx::Error::PoolClosed => connect_error(error),
        other => backend(None, other.to_string()),
    }
}

/// What a SQLSTATE asks for. Only the message is kept: DETAIL and CONTEXT show values.
fn server_error(error: &PgDatabaseError, effect: Effect) -> Error {
    let (code, message) = (error.code(), error.message().to_owned());
    match code {
        // No such schema or table, no such column.
        "3F000" | "42P01" => Error::Schema(SchemaProblem::Missing),
        "42703" => Error::Schema(SchemaProblem::Older { pending: None }),
        "42501" => Error::PermissionDenied { message },
        // Wrong password, no such role, no entry in pg_hba.conf; no such database.
        "28000" | "28P01" | "3D000" => Error::configuration(message),
        // The session was ended while the statement ran.
        "57P01" | "57P02" | "57P05" => effect.interrupted(message, None),
        // Starting up or shutting down, too many connections, cancelled, a standby, a disk or a
        // memory that is full, a lock that was not had, a transaction that was chosen to give way:
        // the statement was rolled back.
        "57P03" | "53300" | "57014" | "25006" | "53100" | "53200" | "53400" | "55P03" | "40001"
        | "40P01" => Error::Unavailable { message: format!("{message} ({code})"), source: None },
        _ => backend(Some(code.to_owned()), message),
    }
}

/// An error of the migrator.
pub(super) fn migrate_error(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(applied) => Error::Schema(SchemaProblem::Newer { applied }),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            Error::Schema(SchemaProblem::Damaged { version })
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            statement_error(error, Effect::Write)
        }
        other => backend(None, other.to_string()),
    }
}

fn backend(code: Option<String>, message: String) -> Error {
    Error::Backend { code, message, source: None }
}
