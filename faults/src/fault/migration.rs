//! A migration applied under load, with the previous version still running.
//!
//! This crate plays the previous version. The schema of the next version is made by the files in
//! `faults/migrations`, which add columns and build an index.

use std::path::Path;
use std::time::Duration;

use crate::database::Database;
use crate::error::Result;
use crate::extent::Extent;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, builder, server};

/// Columns of the next version.
const NEXT: [(&str, &str); 4] = [
    ("oauth_storage.authorization_grant", "next_version"),
    ("oauth_storage.token", "next_version_flag"),
    ("oauth_storage.authorization_code", "next_version"),
    ("oauth_storage.token_next_version", "next_version"),
];

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let times = extent.of(1, 5);
    // Its own server, for its log.
    let cluster = server(&[]).await?;
    let mut all = Row::default();
    for _ in 0..times {
        let database = cluster.database("migration").await?;
        let url = database.url();
        let mut scene = Scene::of(url, builder()?.connect(url).await?).await?;
        let load = scene.load(CALLERS);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let attempts = migrate(&scene).await?;
        scene.row.injected += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
        scene.check(load).await?;

        let mut beside = scene.beside().await?;
        for (table, column) in NEXT {
            let is_there = beside.has_column(table, column).await?;
            scene.row.require(is_there, || format!("{table} has no {column}"));
        }
        beside.close().await?;
        scene.row.remark(format!(
            "applied at attempt {attempts}, beside a reader that held its lock for a second"
        ));
        let errors = scene.caller.ledger.tally.snapshot().errors;
        scene.row.require(errors.is_empty(), || format!("there were errors: {errors:?}"));
        all.absorb(scene.end().await);
        database.close().await?;
    }
    let log = std::fs::read_to_string(cluster.log_file())?;
    let waits = log.lines().filter(|line| held_up(line)).count();
    all.require(waits == 0, || format!("{waits} times a call waited longer than 100 ms"));
    let longest = all.counts.longest;
    all.remark(format!("no call waited 100 ms for a table's lock; the longest took {longest:.1?}"));
    Ok(all)
}

/// Migrates during a long read, as of a backup, and returns the number of attempts.
async fn migrate(scene: &Scene) -> Result<u32> {
    let mut reader = scene.beside().await?;
    reader.run("BEGIN; SELECT count(*) FROM oauth_storage.token").await?;
    let reading = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        reader.close().await
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for attempt in 1..=200 {
        // sqlx keeps its advisory lock after an error, so each attempt has its own connection.
        let mut migrator = Database::connect(&scene.url).await?;
        let migrated = migrator.migrate(&folder).await;
        migrator.close().await?;
        match migrated {
            Ok(()) => {
                reading.await??;
                return Ok(attempt);
            }
            Err(error) if error.to_string().contains("lock timeout") => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err("the migration never got its lock".into())
}

/// Returns true if the line of the log says that a call, not a migration, waits for the lock of a
/// table. The server writes it after `deadlock_timeout`.
fn held_up(line: &str) -> bool {
    line.contains("still waiting for")
        && line.contains(" on relation ")
        && ["AccessShareLock", "RowShareLock", "RowExclusiveLock"]
            .iter()
            .any(|lock| line.contains(&format!("still waiting for {lock} on relation")))
}

#[cfg(test)]
#[test]
fn only_waits_of_calls_count() {
    let line =
        |lock| format!("LOG:  process 7 still waiting for {lock} of database 5 after 100.123 ms");
    assert!(held_up(&line("RowExclusiveLock on relation 16390")));
    assert!(!held_up(&line("AccessExclusiveLock on relation 16390")));
    assert!(!held_up(&line("ShareLock on transaction 731")));
}
