//! The figures: medians over the rounds, as JSON and as a table.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::operation::{Operation, SubjectName};

/// One measurement.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) ops_per_s: f64,
    /// In microseconds; `None` if calls were not measured one by one.
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
}

impl Sample {
    pub(crate) fn new(latencies: &mut [u32], elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let percentile = |percent: usize| {
            let last = latencies.len().checked_sub(1)?;
            Some(f64::from(latencies[(latencies.len() * percent / 100).min(last)]))
        };
        Self {
            ops_per_s: latencies.len() as f64 / elapsed.as_secs_f64().max(1e-9),
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) operation: Operation,
    pub(crate) rows: u64,
    pub(crate) tasks: usize,
    pub(crate) subject: SubjectName,
}

#[derive(Default)]
pub(crate) struct Report {
    samples: BTreeMap<Key, Vec<Sample>>,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        operation: Operation,
        subject: SubjectName,
        tasks: usize,
        rows: u64,
        sample: Sample,
    ) {
        let key = Key { operation, rows, tasks, subject };
        self.samples.entry(key).or_default().push(sample);
    }

    /// The medians, in order.
    pub(crate) fn medians(&self) -> Vec<(Key, Sample)> {
        let each = |samples: &[Sample], of: fn(&Sample) -> Option<f64>| {
            let mut values: Vec<f64> = samples.iter().filter_map(of).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            match values.len() {
                0 => None,
                n if n % 2 == 1 => Some(values[middle]),
                _ => Some(f64::midpoint(values[middle - 1], values[middle])),
            }
        };
        let medians = self.samples.iter().map(|(key, samples)| {
            let median = Sample {
                ops_per_s: each(samples, |s| Some(s.ops_per_s)).unwrap_or_default(),
                p50: each(samples, |s| s.p50),
                p95: each(samples, |s| s.p95),
                p99: each(samples, |s| s.p99),
            };
            (*key, median)
        });
        medians.collect()
    }

    pub(crate) fn json(&self) -> String {
        let whole = |value: Option<f64>| value.map_or(Value::Null, |v| json!(v.round()));
        let rows = self.medians().into_iter().map(|(key, sample)| {
            json!({
                "operation": key.operation.name(),
                "subject": key.subject.name(),
                "tasks": key.tasks,
                "rows": key.rows,
                "ops_per_s": (sample.ops_per_s * 10.0).round() / 10.0,
                "p50_us": whole(sample.p50),
                "p95_us": whole(sample.p95),
                "p99_us": whole(sample.p99),
            })
        });
        let mut text = String::from("[\n");
        for (i, row) in rows.enumerate() {
            let comma = if i == 0 { "  " } else { ",\n  " };
            text.push_str(comma);
            text.push_str(&row.to_string());
        }
        text.push_str("\n]\n");
        text
    }

    /// Prints a line per operation and number of tasks. The latencies are those of the crate.
    pub(crate) fn print(&self) {
        let medians: BTreeMap<Key, Sample> = self.medians().into_iter().collect();
        if medians.is_empty() {
            return;
        }
        println!(
            "\n{:16} {:>9} {:>5} | {:>13} {:>9} {:>9} | {:>8} {:>8} | {:>18} {:>18}",
            "", "", "", "calls a second", "", "", "of", "of", "p50/p99 of", "p50/p99 of"
        );
        println!(
            "{:16} {:>9} {:>5} | {:>13} {:>9} {:>9} | {:>8} {:>8} | {:>18} {:>18}",
            "operation",
            "rows",
            "tasks",
            "oauth-storage",
            "sqlx-pool",
            "pgbench",
            "sqlx",
            "pgbench",
            "oauth-storage ms",
            "sqlx-pool ms"
        );
        for (key, ours) in &medians {
            if key.subject != SubjectName::Storage {
                continue;
            }
            let other = |subject| medians.get(&Key { subject, ..*key });
            let (pool, pgbench) = (other(SubjectName::Pool), other(SubjectName::Pgbench));
            let rate = |sample: Option<&Sample>| {
                sample.map_or("-".to_owned(), |sample| format!("{:.0}", sample.ops_per_s))
            };
            let ratio = |sample: Option<&Sample>| {
                sample.filter(|sample| sample.ops_per_s > 0.0).map_or("-".to_owned(), |sample| {
                    format!("{:.2}", ours.ops_per_s / sample.ops_per_s)
                })
            };
            let times = |sample: Option<&Sample>| {
                let milliseconds = |value: f64| format!("{:.2}", value / 1000.0);
                match sample.and_then(|sample| sample.p50.zip(sample.p99)) {
                    Some((p50, p99)) => format!("{} / {}", milliseconds(p50), milliseconds(p99)),
                    None => "-".to_owned(),
                }
            };
            println!(
                "{:16} {:>9} {:>5} | {:>13} {:>9} {:>9} | {:>8} {:>8} | {:>18} {:>18}",
                key.operation,
                key.rows,
                key.tasks,
                rate(Some(ours)),
                rate(pool),
                rate(pgbench),
                ratio(pool),
                ratio(pgbench),
                times(Some(ours)),
                times(pool),
            );
        }
    }
}
