//! The tables and indexes, and the blockers of vacuum.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::finding::{Finding, or_ok};

/// Below this number of dead rows, their share does not matter.
const MANY_DEAD: i64 = 10_000;

/// A table whose rows were never counted gets plans for an empty one.
const MANY_ROWS: i64 = 1_000;

/// Autovacuum prevents wraparound from 200 million on; PostgreSQL stops at two billion.
const AGE_WARNING: i32 = 500_000_000;
const AGE_ERROR: i32 = 1_500_000_000;

/// Index bytes for each row that are more than any index of the schema needs.
const BLOATED: f64 = 400.0;
const LARGE_INDEX: i64 = 64 << 20;

/// A transaction that is open for longer keeps dead rows.
const LONG: f64 = 3600.0;

struct Table {
    table: String,
    bytes: i64,
    index_bytes: i64,
    rows: i64,
    dead: i64,
    updates: i64,
    hot_updates: i64,
    vacuumed_at: Option<DateTime<Utc>>,
    analyzed_at: Option<DateTime<Utc>>,
    age: i32,
    is_switched_off: bool,
}

struct Index {
    index: String,
    table: String,
    is_valid: bool,
    bytes: i64,
    rows: f64,
}

struct Blocker {
    kind: String,
    name: String,
    seconds: f64,
}

pub(super) async fn check(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Finding>> {
    let tables =
        sqlx::query_file_as!(Table, "src/sql/tables.sql").fetch_all(&mut *connection).await?;
    let indexes = sqlx::query_file_as!(Index, "src/doctor/sql/indexes.sql")
        .fetch_all(&mut *connection)
        .await?;
    let blockers = sqlx::query_file_as!(Blocker, "src/doctor/sql/blockers.sql")
        .fetch_all(&mut *connection)
        .await?;
    let mut findings = vec![size(&tables)];
    findings.extend(dead_rows(&tables, now));
    findings.extend(statistics(&tables));
    findings.extend(updates(&tables));
    findings.extend(age(&tables));
    findings.extend(unusable(&indexes));
    findings.extend(bloated(&indexes));
    findings.extend(blocked(&blockers));
    Ok(findings)
}

fn size(tables: &[Table]) -> Finding {
    let sum = |of: fn(&Table) -> i64| tables.iter().map(of).sum::<i64>();
    let bytes = |bytes: i64| indicatif::BinaryBytes(bytes.unsigned_abs()).to_string();
    let (rows, indexes) = (bytes(sum(|row| row.bytes)), bytes(sum(|row| row.index_bytes)));
    Finding::ok("size", format!("{rows} of rows and {indexes} of indexes"))
}

fn dead_rows(tables: &[Table], now: DateTime<Utc>) -> Vec<Finding> {
    let found = tables.iter().filter_map(|row| {
        let table = &row.table;
        if row.is_switched_off {
            return Some(Finding::error(
                "dead rows",
                format!("autovacuum is switched off for {table}"),
                format!("ALTER TABLE oauth_storage.{table} RESET (autovacuum_enabled);"),
            ));
        }
        let vacuumed_lately = row.vacuumed_at.is_some_and(|at| now - at < TimeDelta::minutes(10));
        let is_clean = row.dead < MANY_DEAD || row.dead * 10 < row.rows + row.dead;
        (!is_clean && !vacuumed_lately).then(|| {
            Finding::warning(
                "dead rows",
                format!("{table} has {} dead rows and {} live ones", row.dead, row.rows),
                format!(
                    "Remove what blocks vacuum (see there), then VACUUM oauth_storage.{table};"
                ),
            )
        })
    });
    or_ok("dead rows", found.collect(), "few in every table")
}

fn statistics(tables: &[Table]) -> Vec<Finding> {
    let found = tables.iter().filter(|row| row.rows >= MANY_ROWS && row.analyzed_at.is_none());
    let found = found.map(|row| {
        Finding::warning(
            "statistics",
            format!("{} has {} rows and was never analyzed", row.table, row.rows),
            format!("ANALYZE oauth_storage.{};", row.table),
        )
    });
    or_ok("statistics", found.collect(), "every large table was analyzed")
}

fn updates(tables: &[Table]) -> Vec<Finding> {
    let found =
        tables.iter().filter(|row| row.updates >= MANY_DEAD && row.hot_updates * 2 < row.updates);
    let found = found.map(|row| {
        Finding::warning(
            "updates",
            format!("{} of {} updates of {} touched no index", row.hot_updates, row.updates, row.table),
            "Look for an index that was added by hand, for a changed fillfactor, and for what blocks vacuum.",
        )
    });
    or_ok("updates", found.collect(), "most touch no index (HOT)")
}

fn age(tables: &[Table]) -> Vec<Finding> {
    let found = tables.iter().filter(|row| row.age >= AGE_WARNING).map(|row| {
        let found = format!("{} was not frozen for {} transactions", row.table, row.age);
        let action =
            "Remove what blocks vacuum, then VACUUM FREEZE. PostgreSQL stops at two billion.";
        if row.age >= AGE_ERROR {
            return Finding::error("wraparound", found, action);
        }
        Finding::warning("wraparound", found, action)
    });
    or_ok("wraparound", found.collect(), "far away")
}

fn unusable(indexes: &[Index]) -> Vec<Finding> {
    let found = indexes.iter().filter(|index| !index.is_valid).map(|index| {
        Finding::error(
            "indexes",
            format!("{} of {} is not valid", index.index, index.table),
            format!("REINDEX INDEX CONCURRENTLY oauth_storage.{};", index.index),
        )
    });
    or_ok("indexes", found.collect(), "all are valid")
}

fn bloated(indexes: &[Index]) -> Vec<Finding> {
    let found = indexes.iter().filter(|index| {
        index.bytes >= LARGE_INDEX && index.bytes as f64 > index.rows.max(1.0) * BLOATED
    });
    let found = found.map(|index| {
        Finding::warning(
            "bloat",
            format!("{} has {} MiB for about {} rows", index.index, index.bytes >> 20, index.rows),
            format!("REINDEX INDEX CONCURRENTLY oauth_storage.{};", index.index),
        )
    });
    or_ok("bloat", found.collect(), "no index is far larger than its rows need")
}

fn blocked(blockers: &[Blocker]) -> Vec<Finding> {
    let found = blockers.iter().filter_map(|blocker| {
        let Blocker { kind, name, seconds } = blocker;
        let (found, action) = match kind.as_str() {
            "replication slot" => (
                format!("the replication slot {name} has no reader"),
                "Start its reader, or SELECT pg_drop_replication_slot(…): it keeps dead rows and the WAL.",
            ),
            _ if *seconds < LONG => return None,
            "transaction" => (
                format!("{name} has a transaction open for {:.0} min", seconds / 60.0),
                "End it: SELECT pg_terminate_backend(…). Until then no row that it may see is removed.",
            ),
            _ => (
                format!("the {kind} {name} is {:.0} min old", seconds / 60.0),
                "COMMIT PREPARED or ROLLBACK PREPARED it.",
            ),
        };
        Some(Finding::warning("vacuum", found, action))
    });
    or_ok("vacuum", found.collect(), "nothing keeps it from removing dead rows")
}

/// Checks which sessions make others wait. It reads no table.
pub(super) async fn locks(connection: &mut PgConnection) -> sqlx::Result<Vec<Finding>> {
    let holders = sqlx::query_file!("src/doctor/sql/locks.sql").fetch_all(connection).await?;
    // Shorter waits are usual.
    let found = holders.iter().filter(|holder| holder.seconds >= 1.0).map(|holder| {
        Finding::warning(
            "locks",
            format!(
                "pid {} ({}, {}): {} wait for it, one for {:.0} s",
                holder.pid,
                holder.application.as_deref().unwrap_or_default(),
                holder.state.as_deref().unwrap_or_default(),
                holder.waiting,
                holder.seconds
            ),
            format!("If it is stuck: SELECT pg_terminate_backend({});", holder.pid),
        )
    });
    Ok(or_ok("locks", found.collect(), "nobody waits for one"))
}
