//! Errors, classified by the caller's next step.

use std::fmt;

/// The result of a storage call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The error of a storage call.
///
/// The variants are categories of *what to do next*; [`Error::advice`] groups them further. No
/// variant contains a credential: messages and sources name only fields, tables and SQLSTATEs.
///
/// An error concerns the whole call. A call of several statements, such as
/// [`revoke_subject`](crate::GrantStorage::revoke_subject), never reports "nothing was changed"
/// once part of it took effect. [`purge`](crate::GrantStorageExt::purge) is many calls; its error
/// concerns the last one.
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
    /// A parameter is invalid. Nothing was stored.
    #[error("{field}: {reason}")]
    Invalid {
        /// The parameter, named as in the RFC that defines it.
        field: &'static str,
        /// The reason.
        reason: InvalidReason,
    },

    /// The storage could not be reached, or ended the statement before it took effect. Nothing was
    /// changed; a retry is safe.
    #[error("storage unavailable, nothing was changed: {message}")]
    Unavailable {
        /// A description without secrets.
        message: String,
        /// The driver's error, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// The connection broke or the deadline passed during a write. It is stored as a whole or not
    /// at all; only a lookup shows which.
    #[error("outcome unknown, stored as a whole or not at all: {message}")]
    OutcomeUnknown {
        /// A description without secrets.
        message: String,
        /// The driver's error, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// The storage is overloaded and refused the call. Nothing was changed; back off, then retry.
    #[error("storage overloaded, nothing was changed: {message}")]
    Overloaded {
        /// The limit that was reached.
        message: String,
    },

    /// The database schema does not match this version of the crate.
    #[error("database schema: {0}")]
    Schema(SchemaProblem),

    /// The database role lacks a privilege.
    #[error(
        "permission denied: {message}; grant the role the privileges listed under \
         \"Roles and rights\" in the documentation, or connect as another role"
    )]
    PermissionDenied {
        /// PostgreSQL's message, which names the object.
        message: String,
    },

    /// The storage is configured wrongly: a malformed URL, a wrong password, a database that does
    /// not exist, a missing component. A retry does not help; an operator has to fix it.
    #[error("configuration: {message}")]
    Configuration {
        /// The cause and the remedy.
        message: String,
        /// The underlying error, if there is one.
        #[source]
        source: Option<Source>,
    },

    /// A stored row contains a value that this version cannot have written.
    #[error("corrupt row in {table}.{column} (row {row}): {message}")]
    Corrupt {
        /// The table, with its schema.
        table: &'static str,
        /// The column; `*` if unknown.
        column: &'static str,
        /// The row's public identifier (a client id, or the start of a digest).
        row: String,
        /// The reason.
        message: String,
    },

    /// Any other failure of the backend. Treat the outcome of a write as unknown.
    #[error("storage backend: {message}")]
    Backend {
        /// The SQLSTATE, if PostgreSQL reported one.
        code: Option<String>,
        /// The backend's message, without parameter values.
        message: String,
        /// The underlying error, if it is safe to show.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// Returns the next step for the caller.
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

    /// Creates an [`Error::Invalid`].
    #[must_use]
    pub const fn invalid(field: &'static str, reason: InvalidReason) -> Self {
        Self::Invalid { field, reason }
    }

    /// Creates an [`Error::Configuration`] without a source.
    #[must_use]
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::Configuration { message: message.into(), source: None }
    }

    /// The stable name of the variant, for spans and metrics.
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

    /// Converts the error of a later step after an earlier one was committed: "nothing was changed"
    /// would be wrong.
    #[cfg(feature = "postgres")]
    pub(crate) fn after_commit(self) -> Self {
        match self {
            Self::Unavailable { message, source } => Self::OutcomeUnknown { message, source },
            Self::Overloaded { message } => Self::OutcomeUnknown { message, source: None },
            other => other,
        }
    }

    /// Does the same if a step was committed.
    #[cfg(feature = "postgres")]
    pub(crate) fn after_commit_if(self, committed: bool) -> Self {
        if committed { self.after_commit() } else { self }
    }

    /// Returns the OAuth 2.0 error code for this error (RFC 6749 4.1.2.1, 5.2). A mistake of the
    /// client is `invalid_request`, `invalid_scope`, `unsupported_response_type` or
    /// `unsupported_grant_type`; a client that is unknown, disabled, or not registered for the type is
    /// `unauthorized_client`; a session that has ended is `login_required` (OpenID Connect Core
    /// 3.1.2.6). `Unavailable` and `Overloaded` are `temporarily_unavailable`. The
    /// rest is `server_error`, including `Duplicate` and `OutOfRange`, because the server chose
    /// those values.
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
            Self::Invalid { field: "session", reason: InvalidReason::Unknown } => "login_required",
            Self::Invalid { field: "client_id", reason: InvalidReason::Unknown } => {
                "unauthorized_client"
            }
            Self::Invalid {
                field: "response_type" | "grant_type",
                reason: InvalidReason::NotAllowed,
            } => "unauthorized_client",
            Self::Invalid { field: "response_type", reason: InvalidReason::Unsupported } => {
                "unsupported_response_type"
            }
            Self::Invalid { field: "grant_type", reason: InvalidReason::Unsupported } => {
                "unsupported_grant_type"
            }
            // Values that the server chose: tokens, codes, settings.
            Self::Invalid {
                reason: InvalidReason::Duplicate | InvalidReason::OutOfRange, ..
            } => "server_error",
            Self::Invalid { .. } => "invalid_request",
            Self::Unavailable { .. } | Self::Overloaded { .. } => "temporarily_unavailable",
            _ => "server_error",
        }
    }

    /// Returns the HTTP status of a response with this error: 400 for a mistake of the client, 503 for
    /// [`Unavailable`](Self::Unavailable) and [`Overloaded`](Self::Overloaded), else 500.
    ///
    /// ```
    /// use oauth_storage::Error;
    /// use oauth_storage::error::InvalidReason;
    /// assert_eq!(Error::invalid("scope", InvalidReason::Character).http_status(), 400);
    /// assert_eq!(Error::invalid("access_token", InvalidReason::Duplicate).http_status(), 500);
    /// ```
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Invalid {
                reason: InvalidReason::Duplicate | InvalidReason::OutOfRange, ..
            } => 500,
            Self::Invalid { .. } => 400,
            Self::Unavailable { .. } | Self::Overloaded { .. } => 503,
            _ => 500,
        }
    }

    /// Returns the error code for a registration endpoint, to send with status 400 (RFC 7591
    /// 3.2.2); `None` if the error is not the client's mistake.
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
    /// Nothing was changed; repeat the call.
    Retry,
    /// Nothing was changed; wait, then repeat the call.
    BackOff,
    /// The call may have taken effect; check before you repeat it.
    CheckOutcome,
    /// The input is wrong; the same call will fail again.
    FixInput,
    /// An operator has to fix the setup; the message says what.
    CallOperator,
}

/// The reason why a parameter is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidReason {
    /// The value is empty.
    Empty,
    /// The value is longer than this many bytes.
    TooLong(usize),
    /// The value is shorter than this many bytes.
    TooShort(usize),
    /// The list has more than this many entries.
    TooMany(usize),
    /// The JSON is nested deeper than this many levels.
    TooDeep(usize),
    /// The value contains a character that its syntax forbids, such as NUL, a control character,
    /// white space or non-ASCII.
    Character,
    /// The URI is not absolute or cannot be parsed.
    NotAbsolute,
    /// The URI has a fragment (RFC 6749 3.1.2).
    Fragment,
    /// A URI that can mislead: user information, a scheme that is not for redirects or runs code, dot segments, or
    /// a host that parsers read in different ways.
    Hostile,
    /// The `http` URI leads to another machine (RFC 9700 2.6).
    Unencrypted,
    /// The parameter does not support the value.
    Unsupported,
    /// The client's registration, the settings or another parameter do not allow the value.
    NotAllowed,
    /// The value already exists.
    Duplicate,
    /// Nothing of that name exists, or it is disabled.
    Unknown,
    /// The number, time or lifetime is out of range.
    OutOfRange,
    /// A required value is missing.
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
            Self::Character => f.write_str("contains a character that is not allowed"),
            Self::NotAbsolute => f.write_str("is not an absolute URI"),
            Self::Fragment => f.write_str("has a fragment"),
            Self::Hostile => f.write_str("is a URI of a form that is not accepted"),
            Self::Unencrypted => f.write_str("is http and not a loopback address"),
            Self::Unsupported => f.write_str("is not a supported value"),
            Self::NotAllowed => f.write_str("is not allowed here"),
            Self::Duplicate => f.write_str("already exists"),
            Self::Unknown => f.write_str("is unknown or disabled"),
            Self::OutOfRange => f.write_str("is out of range"),
            Self::Missing => f.write_str("is missing"),
        }
    }
}

/// A mismatch between the database schema and this version of the crate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaProblem {
    /// The schema `oauth_storage`, or one of its tables, does not exist.
    Missing,
    /// Migrations are pending.
    Older {
        /// The first pending version, if known.
        pending: Option<i64>,
    },
    /// A newer version of the crate has migrated the database.
    Newer {
        /// A version that this crate does not know.
        applied: i64,
    },
    /// An applied migration differs from the shipped one, or was not completed.
    Damaged {
        /// The version of the migration.
        version: i64,
    },
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "the schema oauth_storage, or one of its tables, does not exist; run \
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
                "newer than this crate, migration {applied} is unknown; update the \
                 oauth-storage dependency, and migrate from the newest version only"
            ),
            Self::Damaged { version } => write!(
                f,
                "migration {version} was changed after it was applied, or was not completed; \
                 restore the shipped file, or repair the row in oauth_storage._sqlx_migrations"
            ),
        }
    }
}
