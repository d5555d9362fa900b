//! Conversion of driver errors.

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

use crate::error::{Error, SchemaProblem};

/// The effect of a statement. It decides what a broken connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Read,
    Write,
}

impl Effect {
    /// The error of a statement that was interrupted.
    pub(super) fn interrupted(self, message: String) -> Error {
        match self {
            Self::Read => Error::Unavailable { message, source: None },
            Self::Write => Error::OutcomeUnknown { message, source: None },
        }
    }
}

/// Converts an error from before any statement was sent.
pub(super) fn connect_error(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Configuration(_) => Error::configuration("the connection options are invalid"),
        sqlx::Error::PoolClosed => Error::configuration("the connection pool was closed"),
        sqlx::Error::Tls(source) => not_encrypted(source),
        // The kind of error with which rustls refuses a certificate, for example.
        sqlx::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            not_encrypted(Box::new(source))
        }
        sqlx::Error::Database(refusal)
            if refusal.message().starts_with("unsupported startup parameter") =>
        {
            Error::configuration(format!(
                "{}; set `ignore_startup_parameters` in PgBouncer as the documentation shows",
                refusal.message()
            ))
        }
        sqlx::Error::Database(_) => statement_error(&error, Effect::Read),
        error => Error::Unavailable {
            message: format!(
                "the server cannot be reached ({error}); check its address and that it is running"
            ),
            source: Some(Box::new(error)),
        },
    }
}

/// The error of a failed TLS handshake. A retry does not help. Nothing was sent in plaintext.
fn not_encrypted(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Configuration {
        message: format!(
            "no encrypted connection: {source}; check that a TLS feature of sqlx is enabled (such \
             as `tls-rustls`), that the server supports TLS, and that its certificate is valid \
             for the host of the URL and signed by an authority in `sslrootcert`"
        ),
        source: Some(source),
    }
}

/// Converts an error of a statement, which several callers may share.
pub(super) fn statement_error(error: &sqlx::Error, effect: Effect) -> Error {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => server_error(error, effect),
            None => backend(None, error.message().to_owned()),
        },
        // These texts come from the system and the driver, and contain no values.
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            effect.interrupted(format!("the connection broke: {error}"))
        }
        sqlx::Error::WorkerCrashed => effect.interrupted("the connection broke".into()),
        sqlx::Error::PoolTimedOut => {
            Error::Overloaded { message: "every connection is busy".into() }
        }
        sqlx::Error::PoolClosed => Error::configuration("the connection pool was closed"),
        other => backend(None, other.to_string()),
    }
}

/// Returns true if the server is read-only. Another connection might reach the primary.
pub(super) fn is_standby(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("25006"))
}

/// Returns true if the connection must not be used again: it broke, or the server is ending the
/// session.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04")
                || code.starts_with("08")
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Returns true if the server cancelled the statement because it took too long (57014) or waited
/// too long for a lock (55P03).
pub(super) fn is_cut_off(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("57014" | "55P03"))
}

/// Returns true if a lock was not released within `lock_timeout`.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("55P03"))
}

/// Returns true if the statement ran but a value of its result cannot be decoded.
pub(super) fn is_undecodable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
}

/// Returns true if the calls of a batch may succeed alone: the statement was rolled back because of
/// one row's values (SQLSTATE classes 22, data, and 23, constraints), or it only read and one of
/// the rows cannot be decoded.
pub(super) fn may_run_alone(error: &sqlx::Error, effect: Effect) -> bool {
    if is_undecodable(error) {
        return effect == Effect::Read;
    }
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Returns the unique constraint that an error names; `None` for any other error.
pub(super) fn unique_violation(error: &PgDatabaseError) -> Option<UniqueViolation<'_>> {
    (error.code() == "23505").then(|| match error.constraint() {
        Some(constraint) => UniqueViolation::Of(constraint),
        None => UniqueViolation::OnShard,
    })
}

/// A violated unique constraint.
pub(super) enum UniqueViolation<'a> {
    /// The name of the constraint.
    Of(&'a str),
    /// A constraint of a shard. A cluster does not report its name.
    OnShard,
}

/// Converts an error of the server. Only the message is kept, because DETAIL and CONTEXT contain
/// values.
fn server_error(error: &PgDatabaseError, effect: Effect) -> Error {
    let (code, message) = (error.code(), error.message().to_owned());
    match code {
        // No such schema or table, no such column.
        "3F000" | "42P01" => Error::Schema(SchemaProblem::Missing),
        "42703" => Error::Schema(SchemaProblem::Older { pending: None }),
        "42501" => Error::PermissionDenied { message },
        // Wrong password, no such role, no entry in pg_hba.conf; no such database.
        "28000" | "28P01" | "3D000" => Error::configuration(message),
        // A prepared statement of that name exists or is missing, and this session did not expect
        // it.
        "42P05" | "26000" => Error::configuration(format!(
            "a pooler mixes up the prepared statements of its clients ({message}); in transaction \
             mode PgBouncer must be 1.21 or newer and set `max_prepared_statements` as the \
             documentation shows"
        )),
        // An earlier statement failed in the application's transaction.
        "25P02" => Error::Unavailable {
            message: format!("{message}; roll back the transaction, then retry"),
            source: None,
        },
        // The session ended while the statement ran, or a pooler had no connection.
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => effect.interrupted(message),
        code if code.starts_with("08") => effect.interrupted(message),
        // Starting up or shutting down, too many connections, cancelled, read-only standby, disk or
        // memory full, lock timeout, serialization failure, deadlock: the statement was rolled
        // back.
        "57P03" | "53300" | "57014" | "25006" | "53100" | "53200" | "53400" | "55P03" | "40001"
        | "40P01" => Error::Unavailable { message: format!("{message} ({code})"), source: None },
        _ => backend(Some(code.to_owned()), message),
    }
}

/// Converts an error of the migrator.
pub(super) fn migrate_error(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(applied) => Error::Schema(SchemaProblem::Newer { applied }),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            Error::Schema(SchemaProblem::Damaged { version })
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            statement_error(&error, Effect::Write)
        }
        other => backend(None, other.to_string()),
    }
}

fn backend(code: Option<String>, message: String) -> Error {
    Error::Backend { code, message, source: None }
}
