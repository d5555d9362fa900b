//! Migrations of the schema.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

use crate::error::{Error, Result, SchemaProblem};
use crate::postgres::PgStorage;
use crate::postgres::error::{Effect, migrate_error, statement_error};

static MIGRATOR: Migrator = sqlx::migrate!();

/// The table of applied migrations, as in `sqlx.toml`.
const MIGRATIONS_TABLE: &str = "oauth_storage._sqlx_migrations";

/// A migration that is not yet applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingMigration {
    /// The version, which is the timestamp in the name of its file.
    pub version: i64,
    /// A short description.
    pub description: String,
    /// The statements.
    pub sql: String,
}

impl PgStorage {
    /// Applies pending migrations. It can be called repeatedly, and by several processes at once.
    /// It does not touch the application's own migrations. If nothing is pending it only reads, so
    /// a role without CREATE can call it.
    ///
    /// # Errors
    /// Returns [`Error::PermissionDenied`] if the role may not create tables, or the schema (it
    /// needs CREATE on the database, or an existing schema, see
    /// [`create_schema`](crate::postgres::PgStorageBuilder::create_schema)); [`Error::Schema`] if
    /// the database is newer than this crate, or an applied migration was changed.
    pub async fn migrate(&self) -> Result<()> {
        // Not a pooled connection: on an error sqlx keeps its advisory lock until the session ends,
        // and the next call would wait forever.
        let mut connection = self.connections.detached().await?;
        let migrated = self.migrate_on(&mut connection).await;
        // Ends the session and with it the lock.
        let _ = connection.close().await;
        migrated
    }

    async fn migrate_on(&self, connection: &mut PgConnection) -> Result<()> {
        // `CREATE SCHEMA IF NOT EXISTS` needs CREATE on the database even where the schema exists.
        let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
        migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
        if !schema_exists(connection).await? {
            if !self.create_schema {
                return Err(Error::Schema(SchemaProblem::Missing));
            }
            migrator.create_schema("oauth_storage");
        } else if matches!(pending(connection).await, Ok(pending) if pending.is_empty()) {
            // The migrator would need CREATE on the schema, even with nothing to do.
            return Ok(());
        }
        migrator.run_direct(None, connection, false).await.map_err(migrate_error)
    }

    /// Returns the migrations that [`migrate`](Self::migrate) would apply, for a check at startup
    /// if they are applied elsewhere.
    ///
    /// # Errors
    /// Returns [`Error::Schema`] if the database is newer than this crate, or an applied migration
    /// was changed.
    pub async fn pending_migrations(&self) -> Result<Vec<PendingMigration>> {
        let mut connection = self.connections.detached().await?;
        let pending = pending(&mut connection).await;
        let _ = connection.close().await;
        pending
    }
}

async fn schema_exists(connection: &mut PgConnection) -> Result<bool> {
    sqlx::query_scalar!("SELECT to_regnamespace('oauth_storage') IS NOT NULL AS \"exists!\"")
        .fetch_one(connection)
        .await
        .map_err(|error| statement_error(&error, Effect::Read))
}

async fn pending(connection: &mut PgConnection) -> Result<Vec<PendingMigration>> {
    let applied = sqlx::query!(
        "SELECT version, success, checksum FROM oauth_storage._sqlx_migrations ORDER BY version"
    )
    .fetch_all(connection)
    .await;
    let applied: BTreeMap<i64, (bool, Vec<u8>)> = match applied {
        Ok(rows) => {
            rows.into_iter().map(|row| (row.version, (row.success, row.checksum))).collect()
        }
        Err(error) => match statement_error(&error, Effect::Read) {
            Error::Schema(SchemaProblem::Missing) => BTreeMap::new(),
            error => return Err(error),
        },
    };
    if let Some(&applied) = applied.keys().find(|&&version| !MIGRATOR.version_exists(version)) {
        return Err(Error::Schema(SchemaProblem::Newer { applied }));
    }
    let mut pending = Vec::new();
    for migration in MIGRATOR.iter() {
        match applied.get(&migration.version) {
            None => pending.push(PendingMigration {
                version: migration.version,
                description: migration.description.to_string(),
                sql: migration.sql.as_str().to_owned(),
            }),
            Some((success, checksum)) => {
                if !success || checksum[..] != migration.checksum[..] {
                    return Err(Error::Schema(SchemaProblem::Damaged {
                        version: migration.version,
                    }));
                }
            }
        }
    }
    Ok(pending)
}
