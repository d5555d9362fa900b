//! The acceptance table: for each line the figure, the limit, and true if the figure is within it.
//!
//! `--acceptance --json FILE` measures every line. The ratios to another version need the benchmark
//! of that version (`--baseline`, see CONTRIBUTING.md). A line that was not measured does not hold.

mod bytes;
mod children;
mod fair;
mod linear;
mod owners;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::data::World;
use crate::load::Subject;
use crate::server::{Bench, Server};
use crate::subject_storage::Storage;

/// The limit of a figure.
#[derive(Clone, Copy)]
enum Asked {
    AtLeast(f64),
    AtMost(f64),
}

struct Line {
    line: String,
    value: Option<f64>,
    asked: Asked,
}

impl Line {
    fn holds(&self) -> bool {
        match (self.value, self.asked) {
            (Some(value), Asked::AtLeast(least)) => value >= least,
            (Some(value), Asked::AtMost(most)) => value <= most,
            (None, _) => false,
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

/// The lines in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

impl Table {
    fn at_least(&mut self, line: impl Into<String>, least: f64, value: Option<f64>) {
        self.add(line.into(), Asked::AtLeast(least), value);
    }

    fn at_most(&mut self, line: impl Into<String>, most: f64, value: Option<f64>) {
        self.add(line.into(), Asked::AtMost(most), value);
    }

    fn add(&mut self, line: String, asked: Asked, value: Option<f64>) {
        let value = value.filter(|value| value.is_finite());
        let line = Line { line, value, asked };
        println!("{}", text(&line));
        self.0.push(line);
    }

    fn json(&self) -> String {
        let lines: Vec<Value> = self
            .0
            .iter()
            .map(|line| {
                json!({
                    "line": line.line,
                    "value": line.value.map(|value| (value * 1000.0).round() / 1000.0),
                    "asked": line.asked.to_string(),
                    "ok": line.holds(),
                })
            })
            .collect();
        let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }
}

fn text(line: &Line) -> String {
    let value = line.value.map_or("not measured".to_owned(), |value| match value {
        large if large >= 1_000.0 => format!("{large:.0}"),
        small => format!("{small:.2}"),
    });
    let holds = if line.holds() { "ok" } else { "NOT OK" };
    format!("{:72} {value:>12}  {:18} {holds}", line.line, line.asked.to_string())
}

/// The sizes to measure at.
struct Scale {
    /// Credentials loaded for the comparison with another version.
    rows: u64,
    /// Credentials for the bytes of each.
    credentials: u64,
    /// Rotations of one grant.
    rotations: u64,
    /// Grants of one owner.
    owned: u64,
    /// Grants of one owner; the time for four times as many is compared with the time for these.
    linear: [u64; 2],
    seconds: Duration,
    rounds: usize,
}

impl Scale {
    fn new(args: &Args) -> Self {
        if args.short {
            Self {
                rows: 2_000,
                credentials: 20_000,
                rotations: 2_000,
                owned: 4_000,
                linear: [1_000, 2_000],
                seconds: args.seconds,
                rounds: 1,
            }
        } else {
            Self {
                rows: args.rows,
                credentials: 10_000_000,
                rotations: 500_000,
                owned: 1_000_000,
                linear: [1_000, 25_000],
                seconds: args.seconds,
                rounds: args.rounds,
            }
        }
    }
}

/// A database with the storage and its clients.
struct Fixture {
    bench: Bench,
    storage: Storage,
    subject: Arc<Subject>,
    world: Arc<World>,
}

impl Fixture {
    async fn new(server: &Server, label: &str) -> Self {
        let bench = server.database(label).await;
        let storage = Storage::connect(bench.url()).await;
        storage.0.migrate().await.unwrap();
        let world = Arc::new(World::new(&storage.0, 200_000).await);
        let subject = Arc::new(Subject::Storage(Storage(storage.0.clone())));
        Self { bench, storage, subject, world }
    }

    async fn close(self) {
        self.storage.0.close().await;
        self.bench.close().await;
    }
}

pub(crate) async fn run(args: &Args) -> Result<String, String> {
    let scale = Scale::new(args);
    let mut table = Table::default();
    // Each of these starts its own server, and nothing else runs meanwhile.
    children::against_baseline(args, &scale, &mut table)?;
    children::against_plain(&scale, &mut table)?;
    children::purge(&scale, &mut table)?;
    if std::env::var_os("OAUTH_STORAGE_TEST_CITUS").is_some_and(|url| !url.is_empty()) {
        children::cluster(&scale, &mut table)?;
    }
    let server = Server::private(scale.credentials).await.map_err(|error| error.to_string())?;
    println!("{server}");
    fair::run(&server, &scale, &mut table).await;
    owners::run(&server, &scale, &mut table).await;
    linear::run(&server, &scale, &mut table).await;
    bytes::run(&server, &scale, &mut table).await;

    println!();
    for line in &table.0 {
        println!("{}", text(line));
    }
    Ok(table.json())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
