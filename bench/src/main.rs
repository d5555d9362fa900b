//! The storage compared with plain SQL on the same tables: throughput and latency of each operation,
//! also as the tables grow, statements per operation, memory.
//!
//! `cargo run --release -p oauth-storage-bench -- --help` lists the options. Three subjects are
//! measured in turn on one database:
//!
//! - `oauth-storage`: this crate, with its default options;
//! - `sqlx-pool`: one plain statement for one row, through sqlx's pool;
//! - `pgbench`: the same statements from PostgreSQL's own load generator.
//!
//! Every result is checked, and written rows are counted afterwards. A wrong result ends the run.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark ends at the first error, and has its own SQL"
)]

mod acceptance;
mod args;
mod data;
mod extras;
mod growth;
mod load;
mod loader;
mod operation;
mod pgbench;
mod plot;
mod progress;
mod report;
mod runner;
mod server;
mod statements;
mod subject_pool;
mod subject_storage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use args::Args;
use data::World;
use load::Subject;
use loader::State;
use pgbench::Pgbench;
use report::Report;
use runner::Runner;
use server::Server;
use subject_pool::Pool;
use subject_storage::Storage;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("{reason}\n\n{}", args::HELP);
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(bench(&args))
}

async fn bench(args: &Args) -> ExitCode {
    if args.acceptance {
        return match acceptance::run(args).await {
            Ok(table) => write(args.json.as_ref().map(|path| (path, table))),
            Err(reason) => {
                eprintln!("{reason}");
                ExitCode::FAILURE
            }
        };
    }
    let rows = args.growth.iter().copied().max().unwrap_or_default();
    let server = match Server::start(rows).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{server}");
    let mut report = Report::default();
    if !args.operations.is_empty() {
        operations(args, &server, &mut report).await;
    }
    for &rows in &args.growth {
        growth::run(args, &server, rows, &mut report).await;
    }
    report.print();

    let svg = plot::svg(&report, args.rows, &server.version());
    let json = args.json.as_ref().map(|path| (path, report.json()));
    let plot = args.plot.as_ref().zip(svg);
    write(json.into_iter().chain(plot))
}

fn write<'a>(files: impl IntoIterator<Item = (&'a PathBuf, String)>) -> ExitCode {
    for (path, text) in files {
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("wrote {}", path.display());
    }
    ExitCode::SUCCESS
}

async fn operations(args: &Args, server: &Server, report: &mut Report) {
    let bench = server.database("bench").await;
    for setting in ["fsync", "synchronous_commit"] {
        println!("{setting} = {}", bench.setting(setting).await);
    }
    let storage = Storage::connect(bench.url()).await;
    storage.0.migrate().await.unwrap();
    bench.distribute().await;
    let world = Arc::new(World::new(&storage.0, args.rows).await);
    bench.load_devices().await;
    let storage = Arc::new(Subject::Storage(storage));
    bench.load_pairs(0, args.rows.div_ceil(2), State::Live).await;
    bench.settle().await;

    let short_time = if args.short { args.seconds } else { Duration::from_secs(1) };
    // First, before other measurements enlarge the process.
    extras::memory(&world, &storage, short_time).await;

    let pool = Arc::new(Subject::Pool(Pool::connect(bench.url()).await));
    let pgbench = match &server.pgbench {
        Some(program) => Some(Pgbench::new(program, bench.url(), &world).await),
        None => {
            println!("pgbench: not installed, skipped");
            None
        }
    };
    let mut runner = Runner::new(
        args,
        &bench,
        Arc::clone(&world),
        Arc::clone(&storage),
        Arc::clone(&pool),
        pgbench,
    );
    runner.run(report).await;
    let subjects = [("oauth-storage", &storage), ("sqlx-pool", &pool)];
    let time = short_time.min(Duration::from_millis(500));
    extras::statements(&bench, &world, &subjects, &mut runner.spare, time).await;
    drop(runner);
    bench.close().await;
}
