//! Migrations of the schema `oauth_as`.

use oauth_as::StorageError;
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::OauthAsStorage;
use crate::error::database;

static MIGRATOR: Migrator = sqlx::migrate!();

/// The table of applied migrations, as in `sqlx.toml`.
const MIGRATIONS_TABLE: &str = "oauth_as._sqlx_migrations";

impl OauthAsStorage {
    /// Creates the schema `oauth_as` and applies pending migrations. It can be called repeatedly, and by
    /// several processes at once. It touches neither the application's migrations nor those of
    /// oauth-storage, which this storage does not need.
    ///
    /// # Errors
    /// Fails if the role may not create the schema or its tables, if the database is newer than this crate,
    /// or if an applied migration was changed.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        // Not a pooled connection: on an error sqlx keeps its advisory lock until the session ends, and the
        // next call would wait forever.
        let mut connection = self.pool.connect_options().connect().await.map_err(database)?;
        let migrated = migrate_on(&mut connection).await;
        // Ends the session and with it the lock.
        let _ = connection.close().await;
        migrated
    }
}

async fn migrate_on(connection: &mut PgConnection) -> Result<(), StorageError> {
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    // `CREATE SCHEMA IF NOT EXISTS` needs CREATE on the database even where the schema exists.
    let exists =
        sqlx::query_scalar!("SELECT to_regnamespace('oauth_as') IS NOT NULL AS \"exists!\"")
            .fetch_one(&mut *connection)
            .await
            .map_err(database)?;
    if !exists {
        migrator.create_schema("oauth_as");
    }
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|error| StorageError::new(format!("the migration failed: {error}")))
}
