//! Session settings that decisions depend on: set for every connection, and checked once.
//!
//! A pooler such as PgBouncer drops startup parameters, so the settings are checked as well.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, SqlSafeStr as _};

use crate::error::{Error, Result};

/// Settings of every connection, whatever the database or the role says. Two are left out.
/// `default_transaction_read_only` is set on purpose, and a write then fails as on a standby.
/// `search_path` matters to an application's triggers, and table names are qualified; it is only
/// checked that it does not shadow the operators of `pg_catalog`.
const PINNED: [(&str, &str); 4] = [
    // A statement that waited for a row must see its current version.
    ("default_transaction_isolation", "read committed"),
    // A row that a policy hides must be an error, not a missing row.
    ("row_security", "off"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
];

/// The number of times that two sessions are compared. Each costs two round trips.
const ROUNDS: u8 = 8;

pub(super) fn pin(options: PgConnectOptions) -> PgConnectOptions {
    options.options(PINNED)
}

/// The settings of a session that decisions depend on.
pub(super) struct Session {
    isolation: String,
    synchronous_commit: String,
    encoding: String,
    catalog_first: bool,
    hidden_in: Option<String>,
    /// True if the database is the coordinator of a Citus cluster.
    pub(super) is_cluster: bool,
}

impl Session {
    /// Connects and reads the settings.
    ///
    /// Two sessions detect a pooler that mixes up the prepared statements of its clients. sqlx
    /// numbers statements, so both sessions use the same names. If a name is in use that a session
    /// has not prepared, it would sooner or later run the other session's statement. (A busy pooler
    /// may keep the two apart for this long; then a later statement fails.)
    pub(super) async fn probe(options: &PgConnectOptions) -> sqlx::Result<Self> {
        // Without a cache every statement gets a new name.
        let options = options.clone().statement_cache_capacity(0);
        let mut sessions = [options.connect().await?, options.connect().await?];
        for _ in 0..ROUNDS {
            for session in &mut sessions {
                session.prepare("SELECT 1".into_sql_str()).await?;
            }
        }
        let found = sqlx::query_file_as!(Self, "src/postgres/sql/check_session.sql")
            .fetch_one(&mut sessions[0])
            .await?;
        for session in sessions {
            // A failure to close is irrelevant here.
            let _ = session.close().await;
        }
        Ok(found)
    }

    /// Returns true if a commit is acknowledged before it is durable, on this server or on its
    /// synchronous standby.
    pub(super) fn loses_commits(&self) -> bool {
        matches!(&*self.synchronous_commit, "off" | "local")
    }

    /// Returns [`Error::Configuration`] for the first setting that would change a decision.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |message: String| Err(Error::configuration(message));
        if self.isolation != "read committed" {
            return refused(format!(
                "the isolation level is {}; set it for the role, because the pooler drops startup \
                 parameters: ALTER ROLE … SET default_transaction_isolation = 'read committed'",
                self.isolation
            ));
        }
        if self.loses_commits() {
            return refused(
                "synchronous_commit is off or local, so a code that was redeemed could be redeemed \
                 again after a crash; set it for the role: ALTER ROLE … SET synchronous_commit = on"
                    .into(),
            );
        }
        if !self.catalog_first {
            return refused(
                "the search path has another schema before pg_catalog, which can shadow its operators; \
                 remove pg_catalog from it, or put it first"
                    .into(),
            );
        }
        if let Some(table) = &self.hidden_in {
            return refused(format!(
                "row-level security hides rows of oauth_storage.{table} from this role; disable it, or \
                 give the role BYPASSRLS"
            ));
        }
        if self.encoding != "UTF8" {
            return refused(format!(
                "the encoding of the database is {}; it must be UTF8",
                self.encoding
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            isolation: "read committed".into(),
            synchronous_commit: "remote_apply".into(),
            encoding: "UTF8".into(),
            catalog_first: true,
            hidden_in: None,
            is_cluster: false,
        }
    }

    /// A pooler that drops the pinned settings leaves such sessions.
    #[test]
    fn s24_a_setting_that_would_change_a_decision_is_refused() {
        session().check().unwrap();
        for (refused, says) in [
            (Session { isolation: "repeatable read".into(), ..session() }, "isolation"),
            (Session { synchronous_commit: "off".into(), ..session() }, "synchronous_commit"),
            (Session { synchronous_commit: "local".into(), ..session() }, "synchronous_commit"),
            (Session { encoding: "LATIN1".into(), ..session() }, "LATIN1"),
            (Session { catalog_first: false, ..session() }, "search path"),
            (Session { hidden_in: Some("token".into()), ..session() }, "oauth_storage.token"),
        ] {
            let error = refused.check().unwrap_err();
            assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
