//! The schema: brought up to date, or looked at.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

use crate::error::{Error, Result, SchemaProblem};
use crate::postgres::PgStorage;
use crate::postgres::error::{Effect, migrate_error, statement_error};

static MIGRATOR: Migrator = sqlx::migrate!();

/// The table of `sqlx.toml`.
const MIGRATIONS_TABLE: &str = "oauth_storage._sqlx_migrations";

/// A migration that was not yet applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingMigration {
    /// Its version, the time in its file's name.
    pub version: i64,
    /// A short description.
    pub description: String,
}

impl PgStorage {
    /// Brings the schema up to date: applies what is pending. It may be called again, and by
    /// several processes at once; it leaves the application's own migrations alone. Where nothing is
    /// pending it only reads, so a role without the right to create anything may call it, too.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`] where the role may not create tables, or the schema (it needs
    /// CREATE on the database, or a schema that exists, see
    /// [`create_schema`](crate::postgres::PgStorageBuilder::create_schema)); [`Error::Schema`] where the
    /// database is newer than this crate, or an applied migration was changed.
    pub async fn migrate(&self) -> Result<()> {
        // Not a pooled one: on an error sqlx keeps its advisory lock, which only ends with the
        // session, and the next call would wait for ever.
        let mut connection = self.connections.detached().await?;
        let migrated = self.migrate_on(&mut connection).await;
        // Ends the session and its lock, whatever happened.
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
            // The migrator would ask for CREATE on the schema, even with nothing to do.
            return Ok(());
        }
        migrator.run_direct(None, connection, false).await.map_err(migrate_error)
    }

    /// The migrations that [`migrate`](Self::migrate) would apply: for those who run them
    /// elsewhere, and want to know at start-up whether somebody did.
    ///
    /// # Errors
    /// [`Error::Schema`] where the database is newer than this crate, or an applied migration was
    /// changed.
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
