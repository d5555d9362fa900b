//! The tables and indexes, and what keeps them from being cleaned.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::finding::Finding;

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
    let tables = sqlx::query_file_as!(Table, "src/doctor/sql/tables.sql")
        .fetch_all(&mut *connection)
        .await?;
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

/// One finding for each that is not in order, or one that says that all are.
fn or_ok(check: &'static str, found: Vec<Finding>, ok: &str) -> Vec<Finding> {
    if found.is_empty() { vec![Finding::ok(check, ok)] } else { found }
}

fn size(tables: &[Table]) -> Finding {
    let sum = |of: fn(&Table) -> i64| tables.iter().map(of).sum::<i64>();
    let bytes = |bytes: i64| indicatif::BinaryBytes(bytes.unsigned_abs()).to_string();
    let (rows, indexes) = (bytes(sum(|own| own.bytes)), bytes(sum(|own| own.index_bytes)));
    Finding::ok("size", format!("{rows} of rows and {indexes} of indexes"))
}

fn dead_rows(tables: &[Table], now: DateTime<Utc>) -> Vec<Finding> {
    let found = tables.iter().filter_map(|own| {
        let table = &own.table;
        if own.is_switched_off {
            return Some(Finding::error(
                "dead rows",
                format!("autovacuum is switched off for {table}"),
                format!("ALTER TABLE oauth_storage.{table} RESET (autovacuum_enabled);"),
            ));
        }
        let vacuumed_lately = own.vacuumed_at.is_some_and(|at| now - at < TimeDelta::minutes(10));
        let is_clean = own.dead < MANY_DEAD || own.dead * 10 < own.rows + own.dead;
        (!is_clean && !vacuumed_lately).then(|| {
            Finding::warning(
                "dead rows",
                format!("{table} has {} dead rows and {} live ones", own.dead, own.rows),
                format!(
                    "Remove what blocks vacuum (see there), then VACUUM oauth_storage.{table};"
                ),
            )
        })
    });
    or_ok("dead rows", found.collect(), "few in every table")
}

fn statistics(tables: &[Table]) -> Vec<Finding> {
    let found = tables.iter().filter(|own| own.rows >= MANY_ROWS && own.analyzed_at.is_none());
    let found = found.map(|own| {
        Finding::warning(
            "statistics",
            format!("{} has {} rows and was never analyzed", own.table, own.rows),
            format!("ANALYZE oauth_storage.{};", own.table),
        )
    });
    or_ok("statistics", found.collect(), "every large table was analyzed")
}

fn updates(tables: &[Table]) -> Vec<Finding> {
    let found =
        tables.iter().filter(|own| own.updates >= MANY_DEAD && own.hot_updates * 2 < own.updates);
    let found = found.map(|own| {
        Finding::warning(
            "updates",
            format!("{} of {} updates of {} touched no index", own.hot_updates, own.updates, own.table),
            "Look for an index that was added by hand, for a changed fillfactor, and for what blocks vacuum.",
        )
    });
    or_ok("updates", found.collect(), "most touch no index (HOT)")
}

fn age(tables: &[Table]) -> Vec<Finding> {
    let found = tables.iter().filter(|own| own.age >= AGE_WARNING).map(|own| {
        let found = format!("{} was not frozen for {} transactions", own.table, own.age);
        let action =
            "Remove what blocks vacuum, then VACUUM FREEZE. PostgreSQL stops at two billion.";
        if own.age >= AGE_ERROR {
            return Finding::error("wraparound", found, action);
        }
        Finding::warning("wraparound", found, action)
    });
    or_ok("wraparound", found.collect(), "far away")
}

fn unusable(indexes: &[Index]) -> Vec<Finding> {
    let found = indexes.iter().filter(|own| !own.is_valid).map(|own| {
        Finding::error(
            "indexes",
            format!("{} of {} is not valid", own.index, own.table),
            format!("REINDEX INDEX CONCURRENTLY oauth_storage.{};", own.index),
        )
    });
    or_ok("indexes", found.collect(), "all are valid")
}

fn bloated(indexes: &[Index]) -> Vec<Finding> {
    let found = indexes
        .iter()
        .filter(|own| own.bytes >= LARGE_INDEX && own.bytes as f64 > own.rows.max(1.0) * BLOATED);
    let found = found.map(|own| {
        Finding::warning(
            "bloat",
            format!("{} has {} MiB for about {} rows", own.index, own.bytes >> 20, own.rows),
            format!("REINDEX INDEX CONCURRENTLY oauth_storage.{};", own.index),
        )
    });
    or_ok("bloat", found.collect(), "no index is far larger than its rows need")
}

fn blocked(blockers: &[Blocker]) -> Vec<Finding> {
    let found = blockers.iter().filter_map(|own| {
        let Blocker { kind, name, seconds } = own;
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

/// Who makes others wait. It looks at no table.
pub(super) async fn locks(connection: &mut PgConnection) -> sqlx::Result<Vec<Finding>> {
    let holders = sqlx::query_file!("src/doctor/sql/locks.sql").fetch_all(connection).await?;
    // Shorter waits are usual.
    let found = holders.iter().filter(|own| own.seconds >= 1.0).map(|own| {
        Finding::warning(
            "locks",
            format!(
                "pid {} ({}, {}): {} wait for it, one for {:.0} s",
                own.pid,
                own.application.as_deref().unwrap_or_default(),
                own.state.as_deref().unwrap_or_default(),
                own.waiting,
                own.seconds
            ),
            format!("If it is stuck: SELECT pg_terminate_backend({});", own.pid),
        )
    });
    Ok(or_ok("locks", found.collect(), "nobody waits for one"))
}
