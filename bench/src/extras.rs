//! Measurements beside speed: statements per operation, and the memory of this process.

use std::sync::Arc;
use std::time::Duration;

use crate::data::World;
use crate::load::{self, Phase, Subject};
use crate::loader::Spare;
use crate::operation::{Operation, Spends};
use crate::server::Bench;

const TASKS: usize = 64;
/// Enough calls to count. A phase ends when they are used up.
const SPENT: u64 = 2_000;
const MEMORY_TASKS: usize = 256;

/// Prints the number of statements that the server ran for each call.
pub(crate) async fn statements(
    bench: &Bench,
    world: &Arc<World>,
    subjects: &[(&str, &Arc<Subject>)],
    spare: &mut Spare,
    time: Duration,
) {
    if let Err(reason) = count_from_now_on(bench).await {
        println!("statements per operation: not counted, {reason}");
        return;
    }
    println!("statements per operation, as the server counts, at {TASKS} tasks:");
    for operation in Operation::ALL {
        let mut line = format!("  {operation:14}");
        for (name, subject) in subjects {
            let range = match operation.spends() {
                None => 0..0,
                Some(Spends::Codes) => spare.codes(bench, world, SPENT).await,
                Some(Spends::Pairs) => spare.pairs(bench, SPENT).await,
            };
            let before = calls(bench).await;
            let phase = Phase {
                operation,
                tasks: TASKS,
                warm_up: Duration::ZERO,
                time,
                spare: range,
                seed: 99,
            };
            let done = load::run(subject, world, phase).await.done.all();
            let statements = calls(bench).await - before;
            line += &format!("  {name} {:.3}", statements as f64 / done.max(1) as f64);
        }
        println!("{line}");
    }
    if bench.private {
        set_tracking(bench, "none").await.unwrap();
    }
}

async fn count_from_now_on(bench: &Bench) -> Result<(), String> {
    let counted = bench.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await;
    counted.map_err(|error| error.to_string())?;
    if bench.private {
        set_tracking(bench, "top").await.map_err(|error| error.to_string())?;
    }
    // An extension that is installed but not loaded fails on its first use.
    bench.sql("SELECT count(*) FROM pg_stat_statements").await.map_err(|error| error.to_string())
}

async fn set_tracking(bench: &Bench, track: &str) -> Result<(), sqlx::Error> {
    bench.sql(&format!("ALTER SYSTEM SET pg_stat_statements.track = '{track}'")).await?;
    bench.sql("SELECT pg_reload_conf()").await?;
    // The backends apply it with a delay.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}

/// Counts the statements of the subjects. Those of the loader contain generate_series.
async fn calls(bench: &Bench) -> i64 {
    let sum = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND query NOT ILIKE '%generate_series%' AND query NOT ILIKE '%pg_stat_statements%'
            AND query NOT ILIKE '%synchronous_commit%'";
    sqlx::query_scalar(sum).fetch_one(&bench.admin).await.unwrap()
}

/// Prints this process's resident memory before and during lookups.
pub(crate) async fn memory(world: &Arc<World>, subject: &Arc<Subject>, time: Duration) {
    let Some(idle) = resident_kib() else {
        println!("memory: unknown on this system");
        return;
    };
    let phase = Phase {
        operation: Operation::Introspect,
        tasks: MEMORY_TASKS,
        warm_up: Duration::ZERO,
        time,
        spare: 0..0,
        seed: 77,
    };
    let (subject, world) = (Arc::clone(subject), Arc::clone(world));
    let load = tokio::spawn(async move { load::run(&subject, &world, phase).await });
    let mut most = idle;
    while !load.is_finished() {
        most = most.max(resident_kib().unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Err(failed) = load.await {
        std::panic::resume_unwind(failed.into_panic());
    }
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "memory of this process: {:.1} MiB idle, {:.1} MiB with {MEMORY_TASKS} callers",
        mib(idle),
        mib(most)
    );
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
