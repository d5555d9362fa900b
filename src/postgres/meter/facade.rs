//! On the `metrics` facade.

use std::time::Instant;

use metrics::{
    Unit, counter as new_counter, describe_counter, describe_gauge, describe_histogram,
    gauge as new_gauge, histogram as new_histogram,
};

use crate::postgres::metrics::{
    BATCH_SIZE, BROKEN_LANES, CALLS, CONNECTED_LANES, ERRORS, OPERATION_DURATION, QUEUE_LENGTH,
};

pub(super) use metrics::{Counter, Histogram};

pub(super) type Label = (&'static str, &'static str);

fn labels(labels: &[Label]) -> Vec<metrics::Label> {
    labels.iter().map(|(name, value)| metrics::Label::from_static_parts(name, value)).collect()
}

pub(super) fn counter(name: &'static str, of: &[Label]) -> Counter {
    new_counter!(name, labels(of))
}

pub(super) fn histogram(name: &'static str, of: &[Label]) -> Histogram {
    new_histogram!(name, labels(of))
}

pub(super) fn gauge(name: &'static str, of: &[Label]) -> Gauge {
    Gauge(new_gauge!(name, labels(of)))
}

/// A gauge of things that come one by one.
pub(super) struct Gauge(metrics::Gauge);

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 calls")]
impl Gauge {
    pub(super) fn increment(&self, by: usize) {
        self.0.increment(by as f64);
    }

    pub(super) fn decrement(&self, by: usize) {
        self.0.decrement(by as f64);
    }
}

pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

pub(super) fn describe() {
    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "How long calls of the storage took");
    describe_counter!(CALLS, Unit::Count, "Calls that ended");
    describe_counter!(ERRORS, Unit::Count, "Calls that failed");
    describe_histogram!(BATCH_SIZE, Unit::Count, "Calls that shared a statement");
    describe_gauge!(QUEUE_LENGTH, Unit::Count, "Calls that wait for a lane");
    describe_gauge!(CONNECTED_LANES, Unit::Count, "Lanes that have a connection");
    describe_counter!(BROKEN_LANES, Unit::Count, "Connections of lanes that broke");
}
