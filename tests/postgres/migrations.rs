//! Migrations: repeated, concurrent, beside the application's own, and without the rights.

use std::time::Duration;

use oauth_storage::error::SchemaProblem;
use oauth_storage::{Error, PgStorage};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _};

use crate::support::{database, run_sql, unique, url_as};

async fn connect(url: &str) -> PgStorage {
    // Many migrate at once, on a busy machine.
    PgStorage::builder().deadline(Duration::from_mins(1)).connect(url).await.unwrap()
}

#[tokio::test]
async fn migrate_runs_twice_and_pending_lists_the_rest() {
    let database = database("migrate_twice").await;
    let storage = connect(database.url()).await;
    let pending = storage.pending_migrations().await.unwrap();
    assert_eq!(pending[0].description, "create client");
    assert_eq!(pending.len(), 8);
    storage.migrate().await.unwrap();
    assert_eq!(storage.pending_migrations().await.unwrap(), []);
    storage.migrate().await.unwrap();
}

/// To the server, two storages of one process are the same as two processes.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_migrate_at_once() {
    let database = database("migrate_race").await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let url = database.url().to_owned();
        racers.spawn(async move { connect(&url).await.migrate().await });
    }
    while let Some(raced) = racers.join_next().await {
        raced.unwrap().unwrap();
    }
    assert_eq!(connect(database.url()).await.pending_migrations().await.unwrap(), []);
}

/// The application migrates with sqlx as well, into the default table, before and after the storage.
#[tokio::test]
async fn the_applications_own_migrator_continues() {
    let database = database("migrate_beside").await;
    let application = |upto: i64| {
        Migrator::with_migrations(
            (1..=upto)
                .map(|version| {
                    let sql = format!("CREATE TABLE app_{version} (id int)");
                    let sql = AssertSqlSafe(sql).into_sql_str();
                    Migration::new(version, "app".into(), MigrationType::Simple, sql, false)
                })
                .collect(),
        )
    };
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let storage = connect(database.url()).await;
    application(1).run(&mut connection).await.unwrap();
    storage.migrate().await.unwrap();
    application(2).run(&mut connection).await.unwrap();
    storage.migrate().await.unwrap();
    application(2).run(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_newer_and_a_damaged_schema_are_reported() {
    let database = database("migrate_newer").await;
    let storage = connect(database.url()).await;
    storage.migrate().await.unwrap();

    run_sql(
        database.url(),
        "INSERT INTO oauth_storage._sqlx_migrations
         VALUES (99990101000000, 'from the future', now(), true, '', 0)",
    )
    .await;
    for error in [
        storage.migrate().await.unwrap_err(),
        storage.pending_migrations().await.unwrap_err(),
        // The failed call has released its lock.
        storage.migrate().await.unwrap_err(),
    ] {
        let newer = SchemaProblem::Newer { applied: 99_990_101_000_000 };
        assert!(matches!(&error, Error::Schema(reason) if *reason == newer), "{error}");
        assert!(error.to_string().contains("update the oauth-storage dependency"), "{error}");
    }

    run_sql(
        database.url(),
        "DELETE FROM oauth_storage._sqlx_migrations WHERE version = 99990101000000;
         UPDATE oauth_storage._sqlx_migrations SET checksum = 'changed'
         WHERE version = 20261125090200",
    )
    .await;
    for error in
        [storage.migrate().await.unwrap_err(), storage.pending_migrations().await.unwrap_err()]
    {
        let damaged = SchemaProblem::Damaged { version: 20_261_125_090_200 };
        assert!(matches!(&error, Error::Schema(reason) if *reason == damaged), "{error}");
    }
}

#[tokio::test]
async fn a_missing_right_is_reported_with_its_name() {
    let database = database("migrate_rights").await;
    let role = unique("norights");
    run_sql(database.url(), &format!("CREATE ROLE {role} LOGIN PASSWORD 'pw'")).await;
    let url = url_as(database.url(), &role, "pw");

    // It may not create the schema.
    let storage = connect(&url).await;
    let error = storage.migrate().await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");

    // With migrations disabled.
    let restricted = PgStorage::builder().create_schema(false).connect(&url).await.unwrap();
    let error = restricted.migrate().await.unwrap_err();
    assert!(matches!(error, Error::Schema(SchemaProblem::Missing)), "{error}");

    // Somebody else created the schema for it: CREATE on the database is not needed.
    let sql = format!("CREATE SCHEMA oauth_storage AUTHORIZATION {role}");
    run_sql(database.url(), &sql).await;
    restricted.migrate().await.unwrap();
    storage.migrate().await.unwrap();
    assert_eq!(storage.pending_migrations().await.unwrap(), []);

    drop((storage, restricted));
    run_sql(
        database.url(),
        &format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        ),
    )
    .await;
}
