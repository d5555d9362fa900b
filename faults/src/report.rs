//! The row of each fault, and the summary.

use std::fmt;
use std::time::Duration;

use crate::tally::Counts;

/// The result of a fault.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) injected: u64,
    pub(crate) counts: Counts,
    /// The longest time from the end of a fault to an acknowledged read and write.
    pub(crate) recovery: Option<Duration>,
    /// Further measurements.
    pub(crate) remarks: Vec<String>,
    /// Promises of the storage that did not hold.
    pub(crate) broken: Vec<String>,
}

impl Row {
    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// Adds the row of another run of the same fault.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.injected += other.injected;
        self.counts.absorb(other.counts);
        self.recovery = self.recovery.max(other.recovery);
        self.remarks.extend(other.remarks);
        self.broken.extend(other.broken);
    }

    /// Adds a broken promise unless the condition holds.
    pub(crate) fn require(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }

    /// Adds a recovery, which must not take longer than the limit.
    pub(crate) fn recovered(&mut self, took: Option<Duration>, limit: Duration) {
        match took {
            None => self.broken.push("it did not recover".into()),
            Some(took) => {
                self.recovery = self.recovery.max(Some(took));
                self.require(took <= limit, || {
                    format!("it took {took:.1?} to recover, more than {limit:?}")
                });
            }
        }
    }
}

enum Ran {
    Row(Row),
    /// The reason why the fault could not be injected to its end.
    Unfinished(String),
}

/// All rows.
#[derive(Default)]
pub(crate) struct Report(Vec<(&'static str, Ran)>);

impl Report {
    pub(crate) fn header() -> String {
        line("fault", "injected", "acknowledged", "refused", "unknown", "lost", "recovery")
    }

    pub(crate) fn row(&mut self, name: &'static str, row: Row) -> String {
        let counts = &row.counts;
        let recovery =
            row.recovery.map_or("-".into(), |took| format!("{:.2} s", took.as_secs_f64()));
        let mut text = line(
            name,
            &row.injected.to_string(),
            &counts.acknowledged.to_string(),
            &counts.refused.to_string(),
            &counts.unknown.to_string(),
            &counts.lost.to_string(),
            &recovery,
        );
        for remark in &row.remarks {
            text.push_str(&format!("\n    {remark}"));
        }
        for what in &counts.contradictions {
            text.push_str(&format!("\n    LOST: {what}"));
        }
        for what in &row.broken {
            text.push_str(&format!("\n    BROKEN: {what}"));
        }
        self.0.push((name, Ran::Row(row)));
        text
    }

    pub(crate) fn unfinished(&mut self, name: &'static str, why: String) -> String {
        let text = format!("{name:<12} NOT FINISHED: {why}");
        self.0.push((name, Ran::Unfinished(why)));
        text
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().filter_map(|(_, ran)| match ran {
            Ran::Row(row) => Some(row),
            Ran::Unfinished(_) => None,
        })
    }

    /// Returns true if every fault was injected and every promise held.
    pub(crate) fn holds(&self) -> bool {
        self.0.iter().all(|(_, ran)| match ran {
            Ran::Row(row) => row.counts.lost == 0 && row.broken.is_empty() && row.injected > 0,
            Ran::Unfinished(_) => false,
        })
    }
}

/// The summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, ran) in &self.0 {
            match ran {
                Ran::Row(row) if row.injected == 0 => writeln!(f, "{name}: nothing was injected")?,
                Ran::Row(row) => {
                    for what in &row.broken {
                        writeln!(f, "{name}: does not hold: {what}")?;
                    }
                }
                Ran::Unfinished(why) => writeln!(f, "{name}: not finished: {why}")?,
            }
        }
        let sum = |figure: fn(&Row) -> u64| self.rows().map(figure).sum::<u64>();
        write!(
            f,
            "faults: {} injected, {} acknowledged, {} lost",
            sum(|row| row.injected),
            sum(|row| row.counts.acknowledged),
            sum(|row| row.counts.lost)
        )
    }
}

fn line(
    fault: &str,
    injected: &str,
    acknowledged: &str,
    refused: &str,
    unknown: &str,
    lost: &str,
    recovery: &str,
) -> String {
    format!(
        "{fault:<12} {injected:>9} {acknowledged:>13} {refused:>9} {unknown:>9} {lost:>6} {recovery:>10}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lost: u64) -> Row {
        let counts = Counts { acknowledged: 10, lost, ..Counts::default() };
        Row { injected: 3, counts, ..Row::default() }
    }

    #[test]
    fn the_summary_and_the_exit_status_agree() {
        let mut report = Report::default();
        report.row("one", row(0));
        report.row("two", row(0));
        assert_eq!(report.to_string(), "faults: 6 injected, 20 acknowledged, 0 lost");
        assert!(report.holds());
        report.row("three", row(2));
        assert!(report.to_string().ends_with("9 injected, 30 acknowledged, 2 lost"));
        assert!(!report.holds());
    }

    #[test]
    fn broken_promises_and_unfinished_faults_are_reported_and_fail() {
        let mut report = Report::default();
        report.unfinished("disk", "no rights".into());
        assert!(report.to_string().starts_with("disk: not finished: no rights\n"));
        assert!(!report.holds());

        let mut slow = row(0);
        slow.recovered(Some(Duration::from_secs(9)), Duration::from_secs(5));
        let mut report = Report::default();
        report.row("frozen", slow);
        assert!(report.to_string().starts_with("frozen: does not hold: it took 9.0s to recover"));
        assert!(!report.holds());

        let mut report = Report::default();
        report.row("idle", Row::default());
        assert!(!report.holds(), "nothing was injected");
    }
}
