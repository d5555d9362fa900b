//! Lookups, bytes per credential and the purge as the tables grow.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::GrantStorageExt as _;
use oauth_storage::grant::Purged;

use crate::args::Args;
use crate::data::{SPARE, World};
use crate::load::{self, Measured, Phase, Subject};
use crate::loader::State;
use crate::operation::{Operation, SubjectName};
use crate::progress::Progress;
use crate::report::{Report, Sample};
use crate::server::Server;
use crate::subject_pool::Pool;
use crate::subject_storage::Storage;

const TASKS: usize = 64;
const FOREGROUND_TASKS: usize = 16;
const BATCH: usize = 1_000;
/// The most expired rows that a purge is measured on.
const EXPIRED: u64 = 500_000;

/// Measures at one size, in its own database.
pub(crate) async fn run(args: &Args, server: &Server, rows: u64, report: &mut Report) {
    let bench = server.database("growth").await;
    let storage = Storage::connect(bench.url()).await;
    storage.0.migrate().await.unwrap();
    let world = Arc::new(World::new(&storage.0, rows).await);
    let handle = storage.0.clone();
    let storage = Arc::new(Subject::Storage(storage));
    let pool = Arc::new(Subject::Pool(Pool::connect(bench.url()).await));

    let began = Instant::now();
    bench.load_pairs(0, rows.div_ceil(2), State::Live).await;
    bench.settle().await;
    println!("\ngrowth, {rows} credentials (loaded in {:.1} s):", began.elapsed().as_secs_f64());
    let (heap, indexes, total) = bench.sizes().await;
    let each = |bytes: i64| bytes as f64 / rows as f64;
    println!(
        "  bytes per credential: {:.0} heap, {:.0} indexes, {:.0} in all",
        each(heap),
        each(indexes),
        each(total)
    );

    let phase = |operation, tasks, time, seed| Phase {
        operation,
        tasks,
        warm_up: args.seconds.mul_f64(0.3),
        time,
        spare: 0..0,
        seed,
    };
    for round in 0..args.rounds {
        for operation in [Operation::GetToken, Operation::Introspect] {
            for (name, subject) in [(SubjectName::Storage, &storage), (SubjectName::Pool, &pool)] {
                let progress = Progress::new(format!("{rows} rows, {operation}, {name}"), 0);
                progress.at(0);
                let seed = u64::try_from(round).unwrap() + 1;
                let phase = phase(operation, TASKS, args.seconds, seed);
                let mut measured = load::run(subject, &world, phase).await;
                let sample = Sample::new(&mut measured.latencies, measured.elapsed);
                report.add(operation, name, TASKS, rows, sample);
            }
        }
    }

    let expired = rows.min(EXPIRED) / 2 * 2;
    bench.load_pairs(SPARE, SPARE + expired / 2, State::Expired).await;
    bench.settle().await;
    let before = bench.counts().await.tokens;
    let quiet = load::run(
        &storage,
        &world,
        phase(Operation::Introspect, FOREGROUND_TASKS, args.seconds, 5),
    )
    .await;

    let (purge, busy) = purge_under_load(&handle, &storage, &world, expired).await;
    let after = bench.counts().await.tokens;
    assert_eq!(u64::try_from(before - after).unwrap(), expired, "purged rows");
    assert_eq!((purge.sum.tokens, purge.sum.more), (expired, false), "the result of the purge");

    let rate = expired as f64 / purge.elapsed.as_secs_f64();
    println!(
        "  purge of {expired} expired rows in batches of {BATCH}: {rate:.0} rows/s; batches take \
         {:.0} ms on average, {:.0} ms at most",
        purge.elapsed.as_secs_f64() * 1000.0 / purge.batches.len() as f64,
        purge.batches.iter().max().map_or(0.0, |slowest| f64::from(*slowest) / 1000.0),
    );
    for (when, measured) in [("without", quiet), ("with", busy)] {
        let Measured { mut latencies, elapsed, .. } = measured;
        let sample = Sample::new(&mut latencies, elapsed);
        println!(
            "  introspect at {FOREGROUND_TASKS} tasks {when} the purge: {:.0} calls/s, p50 {:.2} \
             ms, p99 {:.2} ms",
            sample.ops_per_s,
            sample.p50.unwrap_or(f64::NAN) / 1000.0,
            sample.p99.unwrap_or(f64::NAN) / 1000.0,
        );
        let operation =
            if when == "with" { Operation::PurgeIntrospect } else { Operation::Introspect };
        report.add(operation, SubjectName::Storage, FOREGROUND_TASKS, rows, sample);
    }
    let mut batches = purge.batches;
    let sample = Sample { ops_per_s: rate, ..Sample::new(&mut batches, purge.elapsed) };
    report.add(Operation::Purge, SubjectName::Storage, FOREGROUND_TASKS, rows, sample);
    bench.close().await;
}

struct Purge {
    sum: Purged,
    elapsed: Duration,
    /// The duration of each batch in microseconds.
    batches: Vec<u32>,
}

/// Purges under a load of lookups, which end with the purge.
async fn purge_under_load(
    handle: &oauth_storage::PgStorage,
    storage: &Arc<Subject>,
    world: &Arc<World>,
    expired: u64,
) -> (Purge, Measured) {
    let stop = Arc::new(AtomicBool::new(false));
    let warm_up = Duration::from_millis(200);
    let phase = Phase {
        operation: Operation::Introspect,
        tasks: FOREGROUND_TASKS,
        warm_up,
        // Longer than any purge.
        time: Duration::from_hours(24),
        spare: 0..0,
        seed: 6,
    };
    let foreground = {
        let (storage, world, stop) = (Arc::clone(storage), Arc::clone(world), Arc::clone(&stop));
        tokio::spawn(async move { load::run_until(&storage, &world, phase, stop).await })
    };
    tokio::time::sleep(warm_up).await;
    let progress = Progress::new(format!("purging {expired} rows"), expired);
    let (began, mut batches, mut gone) = (Instant::now(), Vec::new(), 0);
    let mut last = began;
    let sum = handle.purge_with(BATCH, |batch| {
        let now = Instant::now();
        batches.push(u32::try_from((now - last).as_micros()).unwrap_or(u32::MAX));
        last = now;
        gone += batch.tokens;
        progress.at(gone);
        ControlFlow::Continue(())
    });
    let sum = sum.await.unwrap();
    let elapsed = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let busy = match foreground.await {
        Ok(busy) => busy,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    };
    (Purge { sum, elapsed, batches }, busy)
}
