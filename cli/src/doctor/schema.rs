//! The schema, and what the role may do with it.

use oauth_storage::{Error, PgStorage};
use sqlx::PgConnection;

use super::finding::Finding;

/// Checks the migrations. Returns false if the tables do not exist.
pub(super) async fn migrations(storage: &PgStorage) -> (Finding, bool) {
    match storage.pending_migrations().await {
        Ok(pending) if pending.is_empty() => (Finding::ok("schema", "up to date"), true),
        Ok(pending) => {
            let found = format!("{} migrations are pending", pending.len());
            (Finding::error("schema", found, "Run oauth-storage migrate."), false)
        }
        Err(error @ Error::Schema(_)) => {
            let action = "Use the version of this command that belongs to the schema.";
            (Finding::error("schema", error.to_string(), action), true)
        }
        Err(error) => (Finding::error("schema", error.to_string(), "See the message."), false),
    }
}

/// Checks the rights of the role.
pub(super) async fn rights(connection: &mut PgConnection) -> sqlx::Result<Vec<Finding>> {
    let tables = sqlx::query_file!("src/doctor/sql/rights.sql").fetch_all(connection).await?;
    let mut findings = Vec::new();
    for own in tables {
        if !own.missing.is_empty() {
            let missing = own.missing.join(", ");
            findings.push(Finding::error(
                "rights",
                format!("the role lacks {missing} on {}", own.table),
                format!("GRANT {missing} ON oauth_storage.{} TO …;", own.table),
            ));
        }
        if own.is_hidden {
            findings.push(Finding::error(
                "row-level security",
                format!("a policy hides rows of {} from this role", own.table),
                "Disable it, or give the role BYPASSRLS.",
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("rights", "the role has all that it needs"));
    }
    Ok(findings)
}
