//! The schema, and the rights of a role on it.

use oauth_storage::{Error, PgStorage};
use sqlx::PgConnection;

use super::finding::{Finding, or_ok};
use crate::output;

/// Checks the migrations. Returns false if the tables do not exist.
pub(super) async fn migrations(storage: &PgStorage) -> (Finding, bool) {
    match storage.pending_migrations().await {
        Ok(pending) if pending.is_empty() => (Finding::ok("schema", "up to date"), true),
        Ok(pending) => {
            let found = output::count(pending.len() as u64, "pending migration");
            (Finding::error("schema", found, "Run oauth-storage migrate."), false)
        }
        Err(error @ Error::Schema(_)) => {
            let action = "Use the version of this command that belongs to the schema.";
            (Finding::error("schema", error.to_string(), action), true)
        }
        Err(error) => (Finding::error("schema", error.to_string(), "See the message."), false),
    }
}

/// Checks the rights of a role.
pub(super) async fn rights(
    connection: &mut PgConnection,
    role: &str,
) -> sqlx::Result<Vec<Finding>> {
    let objects =
        sqlx::query_file!("src/doctor/sql/rights.sql", role).fetch_all(connection).await?;
    let mut findings = Vec::new();
    for object in objects {
        if !object.missing.is_empty() {
            let missing = object.missing.join(", ");
            findings.push(Finding::error(
                "rights",
                format!("{role} lacks {missing} on {}", object.name),
                format!("GRANT {missing} ON {} TO {};", object.object, object.role),
            ));
        }
        if object.is_hidden {
            findings.push(Finding::error(
                "row-level security",
                format!("a policy hides rows of {} from {role}", object.name),
                format!("Disable it, or ALTER ROLE {} BYPASSRLS.", object.role),
            ));
        }
    }
    Ok(or_ok("rights", findings, &format!("{role} has all that it needs")))
}
