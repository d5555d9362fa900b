//! The text that a person sees.

use std::fmt::Write as _;

use crate::output::number;

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
    for own in &database.tables {
        line(format!(
            "{:<22}{:>14}{:>11}{:>11}{:>11}  {}",
            own.table,
            number(own.rows),
            rate(own.inserted_per_second),
            rate(own.updated_per_second),
            rate(own.deleted_per_second),
            own.overdue_seconds.map_or_else(|| "-".into(), age),
        ));
    }
    let Some(process) = process else { return out };
    line(String::new());
    line(format!("{:<32}{:>10}{:>10}{:>10}{:>10}", "CALL", "CALLS/S", "ERRORS/S", "MEAN", "P99"));
    for (name, own) in &process.operations {
        line(format!(
            "{name:<32}{:>10}{:>10}{:>10}{:>10}",
            rate(own.calls_per_second),
            rate(own.errors_per_second),
            own.mean_seconds.map_or_else(|| "-".into(), duration),
            own.p99_seconds.map_or_else(|| "-".into(), |own| format!("≤ {}", duration(own))),
        ));
    }
    line(String::new());
    for (kind, own) in &process.lanes {
        let (used, all) = (own.used, own.used + own.idle);
        line(format!("{kind} lanes: {used} of {all} used, {} calls wait", own.waiting_calls));
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

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0.0, 0.4, 12.3, 4_321.0].map(rate), ["0", "0.4", "12", "4,321"]);
        assert_eq!([0.0012, 2.5].map(duration), ["1.2 ms", "2.5 s"]);
        assert_eq!([59, 180, 10_000, 400_000].map(age), ["59 s", "3 min", "2 h", "4 days"]);
    }
}
