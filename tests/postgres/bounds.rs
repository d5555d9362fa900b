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

/// Four times the rows take about four times as long. Quadratic would be sixteen.
const MOST: f64 = 6.0;

async fn new(label: &str) -> (TestStorage, String) {
    let builder = PgStorage::builder().deadline(Duration::from_mins(1));
    let test = TestStorage::with(label, builder).await;
    let (client_id, _) = test.client().await;
    (test, client_id)
}

/// The shortest of three runs with `rows` and with four times as many, and their ratio. Other tests run beside
/// it, so there are more runs if three are not enough; a quadratic statement needs sixteen times as long in
/// each.
async fn is_linear(what: &str, rows: usize, mut run: impl AsyncFnMut(usize) -> Duration) {
    let mut best = [Duration::MAX; 2];
    let mut ratio = f64::MAX;
    for round in 0..8 {
        for (best, factor) in best.iter_mut().zip([1, 4]) {
            *best = run(rows * factor).await.min(*best);
        }
        ratio = best[1].as_secs_f64() / best[0].as_secs_f64();
        if round >= 2 && ratio <= MOST {
            break;
        }
    }
    println!("{what}: {best:?} for {rows} and four times as many, ratio {ratio:.1}");
    assert!(ratio <= MOST, "{what}: {best:?}, ratio {ratio:.1}");
}

async fn timed<T>(call: impl Future<Output = T>) -> (Duration, T) {
    let started = Instant::now();
    let value = call.await;
    (started.elapsed(), value)
}
