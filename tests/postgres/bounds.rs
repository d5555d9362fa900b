//! Guarantees under any number of rows and callers, and under faults (S18 to S23).

mod batches;
mod consents;
mod disabled;
mod erased;
mod fair;
mod linear;
mod registration;
mod sessions;

use std::time::{Duration, Instant};

use oauth_storage::PgStorage;

use crate::support::TestStorage;

/// Four times the rows take four times as long if a statement is linear, and sixteen times if it is quadratic. This is
/// between them.
const MOST: f64 = 8.0;

async fn new(label: &str) -> (TestStorage, String) {
    let builder = PgStorage::builder().deadline(Duration::from_mins(1));
    let test = TestStorage::with(label, builder).await;
    let (client_id, _) = test.client().await;
    (test, client_id)
}

/// Runs with `rows` and with four times as many in turn, and checks the median of their ratios. Other tests run beside it,
/// and disturb both runs of a round alike. There are more rounds if three are not enough.
async fn is_linear(what: &str, rows: usize, mut run: impl AsyncFnMut(usize) -> Duration) {
    let mut ratios = Vec::new();
    let mut median = f64::MAX;
    for round in 0..9 {
        let few = run(rows).await;
        let many = run(rows * 4).await;
        ratios.push(many.as_secs_f64() / few.as_secs_f64());
        ratios.sort_unstable_by(f64::total_cmp);
        median = ratios[ratios.len() / 2];
        println!("{what}: {few:?} for {rows}, {many:?} for four times as many");
        if round >= 2 && round % 2 == 0 && median <= MOST {
            break;
        }
    }
    assert!(median <= MOST, "{what}: median {median:.1} of {ratios:.1?}");
}

async fn timed<T>(call: impl Future<Output = T>) -> (Duration, T) {
    let started = Instant::now();
    let value = call.await;
    (started.elapsed(), value)
}
