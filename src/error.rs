//! Errors, sorted by what the caller has to do about them.

use std::fmt;

/// The result of a storage call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The error of a storage call.
///
/// The variants are categories of *what to do next*, and [`Error::advice`] folds them further, so
/// that nobody has to parse a message. No variant carries a credential: messages and their
/// sources name fields, tables and SQLSTATEs only.
///
/// An error concerns the whole call. A call of several statements, such as
/// [`revoke_subject`](crate::GrantStorage::revoke_subject), never reports "nothing was changed" once a
/// part of it took effect. [`purge`](crate::GrantStorageExt::purge) is many calls; its error concerns the last one.
///
/// ```
/// use oauth_storage::{Error, Scope};
/// use oauth_storage::error::{Advice, InvalidReason};
///
/// let error = "openid\u{0}".parse::<Scope>().unwrap_err();
/// assert!(matches!(error, Error::Invalid { field: "scope", reason: InvalidReason::Character }));
/// assert_eq!(error.advice(), Advice::FixInput);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's mistake: `field` names the parameter by its RFC name. Nothing was stored.
    #[error("{field}: {reason}")]
    Invalid {
        /// The offending parameter, named as in the RFC that defines it.
        field: &'static str,
        /// The reason.
        reason: InvalidReason,
    },

    /// The storage could not be reached, or ended the statement before it took effect. Nothing
    /// was changed: trying again is safe.
    #[error("storage unavailable, nothing was changed: {message}")]
    Unavailable {
        /// A description without secrets.
        message: String,
        /// The driver's error, where there is one.
        #[source]
        source: Option<Source>,
    },

    /// The connection broke, or the deadline passed, while a write was under way: it is stored as
    /// a whole or not at all, and only a lookup tells which.
    #[error("outcome unknown, stored as a whole or not at all: {message}")]
    OutcomeUnknown {
        /// A description without secrets.
        message: String,
        /// The driver's error, where there is one.
        #[source]
        source: Option<Source>,
    },

    /// The storage is full of work and took no more. Nothing was changed: back off, then try again.
    #[error("storage overloaded, nothing was changed: {message}")]
    Overloaded {
        /// The limit that was reached.
        message: String,
    },

    /// The database schema does not match this version of the crate.
    #[error("database schema: {0}")]
    Schema(SchemaProblem),

    /// The database role lacks a right.
    #[error(
        "permission denied: {message}; grant the role what the README lists under \
         \"Roles and rights\", or connect as another role"
    )]
    PermissionDenied {
        /// PostgreSQL's message, which names the object.
        message: String,
    },

    /// The storage is set up wrongly: a malformed URL, a wrong password, a database that does not
    /// exist, a part that was never given. An operator's matter; trying again does not help.
    #[error("configuration: {message}")]
    Configuration {
        /// The cause and the remedy.
        message: String,
        /// The underlying error, where there is one.
        #[source]
        source: Option<Source>,
    },

    /// A stored row holds what this version cannot have written.
    #[error("corrupt row in {table}.{column} (row {row}): {message}")]
    Corrupt {
        /// The table, with its schema.
        table: &'static str,
        /// The column; `*` where it is not known which.
        column: &'static str,
        /// The row's public identifier (a client id, or the start of a digest).
        row: String,
        /// The reason.
        message: String,
    },

    /// Any other failure of the backend. Treat a write as unknown.
    #[error("storage backend: {message}")]
    Backend {
        /// The SQLSTATE, where PostgreSQL gave one.
        code: Option<String>,
        /// The backend's message, without parameter values.
        message: String,
        /// The underlying error, where it is safe to show.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// The next step for the caller.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Invalid { .. } => Advice::FixInput,
            Self::Unavailable { .. } => Advice::Retry,
            Self::Overloaded { .. } => Advice::BackOff,
            Self::OutcomeUnknown { .. } | Self::Backend { .. } => Advice::CheckOutcome,
            Self::Schema(_)
            | Self::PermissionDenied { .. }
            | Self::Configuration { .. }
            | Self::Corrupt { .. } => Advice::CallOperator,
        }
    }

    /// Shorthand for [`Error::Invalid`]; storages of third parties use it too.
    #[must_use]
    pub const fn invalid(field: &'static str, reason: InvalidReason) -> Self {
        Self::Invalid { field, reason }
    }

    /// Shorthand for [`Error::Configuration`] without a source.
    #[must_use]
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Configuration { message: message.into(), source: None }
    }

    /// The variant in a word that stays the same, for spans and metrics.
    #[cfg(feature = "postgres")]
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::Unavailable { .. } => "unavailable",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Overloaded { .. } => "overloaded",
            Self::Schema(_) => "schema",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Configuration { .. } => "configuration",
            Self::Corrupt { .. } => "corrupt",
            Self::Backend { .. } => "backend",
        }
    }

    /// The error of a step whose earlier steps are committed: "nothing was changed" would be wrong.
    #[cfg(feature = "postgres")]
    pub(crate) fn after_commit(self) -> Self {
        match self {
            Self::Unavailable { message, source } => Self::OutcomeUnknown { message, source },
            Self::Overloaded { message } => Self::OutcomeUnknown { message, source: None },
            other => other,
        }
    }

    /// The same, once a step was committed.
    #[cfg(feature = "postgres")]
    pub(crate) fn after_commit_if(self, committed: bool) -> Self {
        if committed { self.after_commit() } else { self }
    }

    /// The OAuth 2.0 error code for this error (RFC 6749 4.1.2.1, 5.2). A mistake of the client is
    /// `invalid_request` or `invalid_scope`; an unknown or disabled client is `unauthorized_client`.
    /// `Unavailable` and `Overloaded` are `temporarily_unavailable`. The rest is `server_error`,
    /// including `Duplicate` and `OutOfRange`, because the server chose those values.
    ///
    /// ```
    /// use oauth_storage::Error;
    /// use oauth_storage::error::InvalidReason;
    /// let error = Error::invalid("redirect_uri", InvalidReason::Fragment);
    /// assert_eq!(error.oauth_error_code(), "invalid_request");
    /// ```
    #[must_use]
    pub fn oauth_error_code(&self) -> &'static str {
        match self {
            Self::Invalid { field: "scope", .. } => "invalid_scope",
            Self::Invalid { field: "client_id", reason: InvalidReason::Unknown } => {
                "unauthorized_client"
            }
            // What the server makes itself: tokens, codes, settings.
            Self::Invalid {
                reason: InvalidReason::Duplicate | InvalidReason::OutOfRange, ..
            } => "server_error",
            Self::Invalid { .. } => "invalid_request",
            Self::Unavailable { .. } | Self::Overloaded { .. } => "temporarily_unavailable",
            _ => "server_error",
        }
    }

    /// The error code that a registration endpoint would answer with for this error, always with
    /// status 400 (RFC 7591 3.2.2); none for an error that is not the client's mistake.
    ///
    /// ```
    /// use oauth_storage::Error;
    /// use oauth_storage::error::InvalidReason;
    /// let error = Error::invalid("redirect_uri", InvalidReason::Fragment);
    /// assert_eq!(error.registration_error_code(), Some("invalid_redirect_uri"));
    /// ```
    #[must_use]
    pub fn registration_error_code(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { field: "redirect_uri" | "redirect_uris", .. } => {
                Some("invalid_redirect_uri")
            }
            Self::Invalid { .. } => Some("invalid_client_metadata"),
            _ => None,
        }
    }
}

/// The next step after an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing was changed; the same call may be made again.
    Retry,
    /// Nothing was changed; wait, then make the same call again.
    BackOff,
    /// The call may have taken effect: check before you repeat it.
    CheckOutcome,
    /// The input is wrong; the same call will fail again.
    FixInput,
    /// The set-up has to be fixed; the message says what.
    CallOperator,
}

/// The reason why a parameter is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidReason {
    /// It is empty where a value is needed.
    Empty,
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It is shorter than this many bytes.
    TooShort(usize),
    /// A list has more than this many entries.
    TooMany(usize),
    /// JSON that is nested deeper than this many levels.
    TooDeep(usize),
    /// It holds a character that its syntax forbids: NUL, a control character, white space or
    /// non-ASCII where the RFC's grammar has none.
    Character,
    /// A URI that is not absolute, or cannot be parsed.
    NotAbsolute,
    /// A redirect URI with a fragment (RFC 6749 3.1.2).
    Fragment,
    /// A URI with user information, or with a scheme that runs or reads something on the
    /// client's machine.
    Hostile,
    /// An `http` URI that leads to another machine (RFC 9700 2.6).
    Unencrypted,
    /// It is none of the values that the parameter can have.
    Unsupported,
    /// It, or its combination with another parameter, is not allowed by the client's registration
    /// or by the settings.
    NotAllowed,
    /// It exists already.
    Duplicate,
    /// Nothing of that name exists, or it is disabled.
    Unknown,
    /// A number or a lifetime outside what the field can hold.
    OutOfRange,
    /// It is missing, though another parameter requires it.
    Missing,
}

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong(limit) => write!(f, "is longer than {limit} bytes"),
            Self::TooShort(limit) => write!(f, "is shorter than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "has more than {limit} entries"),
            Self::TooDeep(limit) => write!(f, "is nested deeper than {limit} levels"),
            Self::Character => f.write_str("holds a character that is not allowed"),
            Self::NotAbsolute => f.write_str("is not an absolute URI"),
            Self::Fragment => f.write_str("has a fragment"),
            Self::Hostile => f.write_str("is a URI that no client may be sent to"),
            Self::Unencrypted => f.write_str("is http, and not to a loopback address"),
            Self::Unsupported => f.write_str("is not a supported value"),
            Self::NotAllowed => f.write_str("is not allowed here"),
            Self::Duplicate => f.write_str("exists already"),
            Self::Unknown => f.write_str("is unknown or disabled"),
            Self::OutOfRange => f.write_str("is out of range"),
            Self::Missing => f.write_str("is missing"),
        }
    }
}

/// The difference between the database schema and the one this crate needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaProblem {
    /// There is no schema `oauth_storage`.
    Missing,
    /// Migrations are still to be applied.
    Older {
        /// The first version that is not applied, where it is known.
        pending: Option<i64>,
    },
    /// The database is ahead of this crate: a newer version has migrated it.
    Newer {
        /// A version that this crate does not know.
        applied: i64,
    },
    /// An applied migration is not the one this crate ships, or was left half done.
    Damaged {
        /// The version concerned.
        version: i64,
    },
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "the schema oauth_storage, or a table of it, does not exist; run \
                 `storage.migrate()` or `sqlx migrate run`",
            ),
            Self::Older { pending } => {
                f.write_str("older than this crate, ")?;
                match pending {
                    Some(version) => write!(f, "migration {version} is pending")?,
                    None => f.write_str("a migration is pending")?,
                }
                f.write_str("; run `storage.migrate()` or `sqlx migrate run`")
            }
            Self::Newer { applied } => write!(
                f,
                "newer than this crate, migration {applied} is unknown here; update the \
                 oauth-storage dependency, and migrate from the newest version only"
            ),
            Self::Damaged { version } => write!(
                f,
                "migration {version} was changed after it was applied, or was left half done; \
                 restore the shipped file, or repair the row in oauth_storage._sqlx_migrations"
            ),
        }
    }
}
