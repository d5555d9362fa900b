//! The metrics of a process in the text format of Prometheus (`--metrics`).

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use oauth_storage::postgres::telemetry;
use prometheus_parse::{Labels, Sample, Scrape, Value};
use serde::Serialize;

/// The values at one time.
pub(super) struct Snapshot {
    at: Instant,
    samples: Vec<Sample>,
}

/// A process between two snapshots.
#[derive(Debug, Default, Serialize)]
pub(super) struct Process {
    pub(super) operations: BTreeMap<String, Operation>,
    /// Calls that shared a statement, on average, by statement.
    pub(super) batch_sizes: BTreeMap<String, f64>,
    pub(super) lanes: BTreeMap<String, Lanes>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Operation {
    pub(super) calls_per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) mean_seconds: Option<f64>,
    /// The upper limit of the bucket in which the 99th percentile is.
    pub(super) p99_seconds: Option<f64>,
}

/// The lanes of a kind.
#[derive(Debug, Default, Serialize)]
pub(super) struct Lanes {
    pub(super) used: f64,
    pub(super) idle: f64,
    pub(super) waiting_calls: f64,
}

impl Snapshot {
    /// Reads the metrics of a process.
    pub(super) async fn take(url: &str) -> io::Result<Self> {
        let url = url.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let limit = Some(Duration::from_secs(5));
            let agent: ureq::Agent =
                ureq::Agent::config_builder().timeout_global(limit).build().into();
            let response = agent.get(&url).call().map_err(io::Error::other)?;
            response.into_body().read_to_string().map_err(io::Error::other)
        });
        Self::parse(&read.await.map_err(io::Error::other)??)
    }

    fn parse(text: &str) -> io::Result<Self> {
        let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?;
        Ok(Self { at: Instant::now(), samples: scrape.samples })
    }

    /// The activity since an earlier snapshot.
    pub(super) fn since(&self, earlier: &Self) -> Process {
        let seconds = (self.at - earlier.at).as_secs_f64().max(0.001);
        let mut process = Process::default();
        for (labels, grown) in self.growth(earlier, telemetry::CALLS) {
            let operation = process.operation(labels);
            operation.calls_per_second += grown / seconds;
        }
        for (labels, grown) in self.growth(earlier, telemetry::ERRORS) {
            process.operation(labels).errors_per_second += grown / seconds;
        }
        for (name, mean) in self.means(earlier, telemetry::OPERATION_DURATION) {
            process.operations.entry(name).or_default().mean_seconds = Some(mean);
        }
        for (name, p99) in self.percentiles(earlier) {
            process.operations.entry(name).or_default().p99_seconds = Some(p99);
        }
        process.batch_sizes = self.means(earlier, telemetry::BATCH_SIZE);
        for (labels, value) in self.values(telemetry::CONNECTED_LANES) {
            let lanes = process.lanes(labels);
            match label(labels, telemetry::STATE) {
                "used" => lanes.used += value,
                _ => lanes.idle += value,
            }
        }
        for (labels, value) in self.values(telemetry::QUEUE_LENGTH) {
            process.lanes(labels).waiting_calls += value;
        }
        process
    }

    /// The samples of a metric, by the name that an exporter makes of it.
    fn named<'a>(&'a self, metric: &str) -> impl Iterator<Item = &'a Sample> {
        let name = metric.replace('.', "_");
        self.samples.iter().filter(move |sample| {
            // Exporters that follow Prometheus' conventions add the unit, or `total`.
            let rest = sample.metric.strip_prefix(&name);
            matches!(rest, Some("" | "_total" | "_seconds"))
        })
    }

    fn values(&self, metric: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.named(metric).filter_map(|sample| Some((&sample.labels, number(&sample.value)?)))
    }

    /// The growth of each counter of a metric.
    fn growth(&self, earlier: &Self, metric: &str) -> Vec<(&Labels, f64)> {
        self.values(metric)
            .map(|(labels, now)| {
                let mut then = earlier.values(metric).filter(|(others, _)| same(others, labels));
                let then = then.next().map_or(0.0, |(_, then)| then);
                // A process that was restarted counts from zero.
                (labels, if now < then { now } else { now - then })
            })
            .collect()
    }

    /// The mean of a histogram by operation.
    fn means(&self, earlier: &Self, metric: &str) -> BTreeMap<String, f64> {
        let grown = |part: &str| {
            let mut all: BTreeMap<String, f64> = BTreeMap::new();
            for name in [metric.to_owned(), format!("{metric}_seconds")] {
                for (labels, grown) in self.growth(earlier, &format!("{name}_{part}")) {
                    *all.entry(label(labels, telemetry::OPERATION).into()).or_default() += grown;
                }
            }
            all
        };
        let (sums, counts) = (grown("sum"), grown("count"));
        let means = counts.into_iter().filter(|(_, count)| *count > 0.0);
        means.filter_map(|(name, count)| Some((name.clone(), sums.get(&name)? / count))).collect()
    }

    /// The 99th percentile of the duration by operation.
    fn percentiles(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let buckets = |snapshot: &Self| {
            let mut all: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
            for sample in snapshot.named(telemetry::OPERATION_DURATION) {
                let Value::Histogram(counts) = &sample.value else { continue };
                let own =
                    all.entry(label(&sample.labels, telemetry::OPERATION).into()).or_default();
                for bucket in counts {
                    // The order of the bits is that of the numbers, which are positive.
                    *own.entry(bucket.less_than.to_bits()).or_default() += bucket.count;
                }
            }
            all
        };
        let (now, mut then) = (buckets(self), buckets(earlier));
        now.into_iter()
            .filter_map(|(name, counts)| {
                let then = then.remove(&name).unwrap_or_default();
                let grown: Vec<(f64, f64)> = counts
                    .into_iter()
                    .map(|(limit, count)| {
                        let before = then.get(&limit).copied().unwrap_or_default();
                        (f64::from_bits(limit), (count - before).max(0.0))
                    })
                    .collect();
                let all = grown.last()?.1;
                let limit = grown.iter().find(|(_, count)| all > 0.0 && *count >= all * 0.99)?.0;
                limit.is_finite().then_some((name, limit))
            })
            .collect()
    }
}

impl Process {
    fn operation(&mut self, labels: &Labels) -> &mut Operation {
        self.operations.entry(label(labels, telemetry::OPERATION).into()).or_default()
    }

    fn lanes(&mut self, labels: &Labels) -> &mut Lanes {
        self.lanes.entry(label(labels, telemetry::LANES).into()).or_default()
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => Some(*value),
        Value::Histogram(_) | Value::Summary(_) => None,
    }
}

fn label<'a>(labels: &'a Labels, name: &str) -> &'a str {
    labels.get(&name.replace('.', "_")).unwrap_or_default()
}

fn same(one: &Labels, other: &Labels) -> bool {
    one.len() == other.len() && one.iter().all(|(name, value)| other.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(calls: u32, slow: u32) -> String {
        let (fast, all) = (calls - slow, calls);
        format!(
            r#"# TYPE oauth_storage_calls counter
oauth_storage_calls{{db_operation_name="introspect"}} {calls}
# TYPE oauth_storage_errors counter
oauth_storage_errors{{db_operation_name="introspect",error_type="overloaded"}} {slow}
# TYPE db_client_operation_duration histogram
db_client_operation_duration_bucket{{db_operation_name="introspect",le="0.001"}} {fast}
db_client_operation_duration_bucket{{db_operation_name="introspect",le="0.5"}} {all}
db_client_operation_duration_bucket{{db_operation_name="introspect",le="+Inf"}} {all}
db_client_operation_duration_sum{{db_operation_name="introspect"}} {calls}
db_client_operation_duration_count{{db_operation_name="introspect"}} {calls}
# TYPE db_client_connection_count gauge
db_client_connection_count{{db_client_connection_pool_name="read",db_client_connection_state="used"}} 2
# TYPE db_client_connection_pending_requests gauge
db_client_connection_pending_requests{{db_client_connection_pool_name="read"}} 14
"#
        )
    }

    #[test]
    fn rates_and_percentiles_are_those_of_the_interval() {
        let earlier = Snapshot::parse(&text(1_000_000, 500_000)).unwrap();
        let mut now = Snapshot::parse(&text(1_000_200, 500_001)).unwrap();
        now.at = earlier.at + Duration::from_secs(2);
        let process = now.since(&earlier);
        let own = &process.operations["introspect"];
        assert!((own.calls_per_second - 100.0).abs() < 0.1, "{own:?}");
        assert!((own.errors_per_second - 0.5).abs() < 0.1, "{own:?}");
        assert_eq!(own.mean_seconds, Some(1.0));
        assert_eq!(own.p99_seconds, Some(0.001), "one in 200 is slow");
        assert!((process.lanes["read"].used - 2.0).abs() < 0.1);
        assert!((process.lanes["read"].waiting_calls - 14.0).abs() < 0.1);
    }

    #[test]
    fn a_restarted_process_counts_from_zero() {
        let earlier = Snapshot::parse(&text(1_000, 10)).unwrap();
        let mut now = Snapshot::parse(&text(100, 50)).unwrap();
        now.at = earlier.at + Duration::from_secs(1);
        let process = now.since(&earlier);
        assert!((process.operations["introspect"].calls_per_second - 100.0).abs() < 0.1);
    }
}
