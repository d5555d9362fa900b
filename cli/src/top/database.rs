//! The activity of the database.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

/// The counters at one time.
pub(super) struct Snapshot {
    at: DateTime<Utc>,
    sessions: i64,
    active: i64,
    waiting: i64,
    commits: i64,
    tables: Vec<Counters>,
    /// Seconds since the oldest row of a table expired.
    overdue: BTreeMap<String, i64>,
}

struct Counters {
    table: String,
    rows: i64,
    inserted: i64,
    updated: i64,
    deleted: i64,
}

/// The database between two snapshots.
#[derive(Debug, Serialize)]
pub(super) struct Database {
    pub(super) at: DateTime<Utc>,
    pub(super) sessions: i64,
    pub(super) active_sessions: i64,
    pub(super) sessions_waiting_for_a_lock: i64,
    pub(super) commits_per_second: f64,
    pub(super) tables: Vec<Activity>,
}

/// A table between two snapshots.
#[derive(Debug, Serialize)]
pub(super) struct Activity {
    pub(super) table: String,
    pub(super) rows: i64,
    pub(super) inserted_per_second: f64,
    pub(super) updated_per_second: f64,
    pub(super) deleted_per_second: f64,
    /// Seconds since its oldest row expired; `None` if none has.
    pub(super) overdue_seconds: Option<i64>,
}

impl Snapshot {
    pub(super) async fn take(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let sessions =
            sqlx::query_file!("src/top/sql/sessions.sql").fetch_one(&mut *connection).await?;
        let tables = sqlx::query_file_as!(Counters, "src/top/sql/tables.sql")
            .fetch_all(&mut *connection)
            .await?;
        // Only the oldest rows, because this runs each second.
        let backlog =
            sqlx::query_file!("src/sql/backlog.sql", 0).fetch_all(&mut *connection).await?;
        let overdue = backlog.into_iter().filter_map(|row| {
            let seconds = (sessions.at - row.oldest?).num_seconds();
            (seconds > 0).then_some((row.table, seconds))
        });
        Ok(Self {
            at: sessions.at,
            sessions: sessions.sessions,
            active: sessions.active,
            waiting: sessions.waiting,
            commits: sessions.commits,
            tables,
            overdue: overdue.collect(),
        })
    }

    /// The activity since an earlier snapshot.
    pub(super) fn since(&self, earlier: &Self) -> Database {
        let seconds = (self.at - earlier.at).as_seconds_f64().max(0.001);
        // A counter that was reset counts from zero.
        let rate =
            |now: i64, then: i64| if now < then { 0.0 } else { (now - then) as f64 / seconds };
        let tables = self.tables.iter().map(|table| {
            let then = earlier.tables.iter().find(|then| then.table == table.table);
            let since = |of: fn(&Counters) -> i64| rate(of(table), then.map_or(of(table), of));
            Activity {
                table: table.table.clone(),
                rows: table.rows,
                inserted_per_second: since(|counters| counters.inserted),
                updated_per_second: since(|counters| counters.updated),
                deleted_per_second: since(|counters| counters.deleted),
                overdue_seconds: self.overdue.get(&table.table).copied(),
            }
        });
        Database {
            at: self.at,
            sessions: self.sessions,
            active_sessions: self.active,
            sessions_waiting_for_a_lock: self.waiting,
            commits_per_second: rate(self.commits, earlier.commits),
            tables: tables.collect(),
        }
    }
}
