//! The text that a person sees.

use std::fmt::Write as _;

use crate::output::{length, number};

use super::database::Database;
use super::process::Process;

/// The frame of both, at most as many columns as it needs.
pub(super) fn frame(title: &str, database: &Database, process: Option<&Process>) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(format!("{title}    {}", database.at.format("%H:%M:%S")));
    line(format!(
        "{} sessions of the storage, {} active    {} wait for a lock    {} commits/s",
        database.sessions,
        database.active_sessions,
        database.sessions_waiting_for_a_lock,
        rate(database.commits_per_second),
    ));
    line(String::new());
    line(format!(
        "{:<22}{:>14}{:>11}{:>11}{:>11}  {}",
        "TABLE", "ROWS", "NEW/S", "CHANGED/S", "DELETED/S", "OLDEST EXPIRED"
    ));
    for table in &database.tables {
        line(format!(
            "{:<22}{:>14}{:>11}{:>11}{:>11}  {}",
            table.table,
            number(table.rows),
            rate(table.inserted_per_second),
            rate(table.updated_per_second),
            rate(table.deleted_per_second),
            table.overdue_seconds.map_or_else(|| "-".into(), |age| length(age.unsigned_abs())),
        ));
    }
    let Some(process) = process else { return out };
    line(String::new());
    line(format!("{:<32}{:>10}{:>10}{:>10}{:>10}", "CALL", "CALLS/S", "ERRORS/S", "MEAN", "P99"));
    for (name, operation) in &process.operations {
        line(format!(
            "{name:<32}{:>10}{:>10}{:>10}{:>10}",
            rate(operation.calls_per_second),
            rate(operation.errors_per_second),
            operation.mean_seconds.map_or_else(|| "-".into(), duration),
            operation.p99_seconds.map_or_else(|| "-".into(), |p99| format!("≤ {}", duration(p99))),
        ));
    }
    line(String::new());
    for (kind, lanes) in &process.lanes {
        let (used, all) = (lanes.used, lanes.used + lanes.idle);
        line(format!("{kind} lanes: {used} of {all} used, {} calls wait", lanes.waiting_calls));
    }
    if !process.batch_sizes.is_empty() {
        let mut sizes = String::from("calls in a statement:");
        for (statement, mean) in &process.batch_sizes {
            // Writing to a string cannot fail.
            let _ = write!(sizes, "  {statement} {mean:.1}");
        }
        line(sizes);
    }
    out
}

fn rate(each_second: f64) -> String {
    if each_second > 0.0 && each_second < 10.0 {
        return format!("{each_second:.1}");
    }
    number(each_second.round() as i64)
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0.0, 0.4, 12.3, 4_321.0].map(rate), ["0", "0.4", "12", "4,321"]);
        assert_eq!([0.0012, 2.5].map(duration), ["1.2 ms", "2.5 s"]);
    }
}
