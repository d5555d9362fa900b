//! Lines from whole runs of the benchmark, of this version and of another. Each run has its own
//! server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Scale, Table, median};
use crate::args::Args;

/// The lines of the comparison: operation, callers, required ratio.
const BEFORE: [(&str, usize, f64); 6] = [
    ("introspect", 64, 0.9),
    ("introspect", 256, 0.9),
    ("create_token", 64, 1.15),
    ("redeem", 64, 1.1),
    ("rotate", 64, 1.3),
    ("revoke_token", 64, 2.0),
];

/// The figures of one run.
struct Figures(Vec<Value>);

impl Figures {
    fn get(&self, operation: &str, subject: &str, tasks: usize, figure: &str) -> Option<f64> {
        let row = self.0.iter().find(|row| {
            row["operation"] == operation && row["subject"] == subject && row["tasks"] == tasks
        })?;
        row[figure].as_f64()
    }
}

/// Runs a benchmark, and reads its figures.
fn run(program: &Path, options: &[&str], on_cluster: bool) -> Result<Figures, String> {
    let file =
        std::env::temp_dir().join(format!("oauth-storage-bench-{}.json", std::process::id()));
    let mut command = Command::new(program);
    command.args(options).arg("--json").arg(&file).stdout(Stdio::null());
    if !on_cluster {
        command.env_remove("OAUTH_STORAGE_TEST_CITUS");
    }
    let status = command.status().map_err(|error| format!("{}: {error}", program.display()))?;
    if !status.success() {
        return Err(format!("{} {}: {status}", program.display(), options.join(" ")));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let _ = std::fs::remove_file(&file);
    serde_json::from_str(&text).map(Figures).map_err(|error| error.to_string())
}

fn this() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| error.to_string())
}

/// Compares both versions, in turn in every round.
pub(super) fn against_baseline(
    args: &Args,
    scale: &Scale,
    table: &mut Table,
) -> Result<(), String> {
    let mut ratios = vec![Vec::new(); BEFORE.len()];
    if let Some(baseline) = &args.baseline {
        let (seconds, rows) = (scale.seconds.as_secs_f64().to_string(), scale.rows.to_string());
        let mut options = vec!["--subjects", "oauth-storage", "--rounds", "1"];
        options.extend(["--seconds", &seconds, "--rows", &rows, "--tasks", "64,256"]);
        options.extend(["--operations", "introspect,create_token,redeem,rotate,revoke_token"]);
        for round in 0..scale.rounds {
            println!("round {} of {}, both versions", round + 1, scale.rounds);
            let before = run(baseline, &options, false)?;
            let now = run(&this()?, &options, false)?;
            for ((operation, tasks, _), ratios) in BEFORE.iter().zip(&mut ratios) {
                let rate = |run: &Figures| run.get(operation, "oauth-storage", *tasks, "ops_per_s");
                ratios.extend(rate(&now).zip(rate(&before)).map(|(now, before)| now / before));
            }
        }
    }
    for ((operation, tasks, least), ratios) in BEFORE.iter().zip(ratios) {
        table.at_least(
            format!("{operation}, {tasks} callers, against before"),
            *least,
            median(ratios),
        );
    }
    Ok(())
}

/// Compares one caller with plain sqlx on the same tables.
pub(super) fn against_plain(scale: &Scale, table: &mut Table) -> Result<(), String> {
    let (seconds, rows) = (scale.seconds.as_secs_f64().to_string(), scale.rows.to_string());
    let rounds = (2 * scale.rounds - 1).to_string();
    let operations = ["create_token", "redeem", "revoke_token"];
    let list = operations.join(",");
    let mut options = vec!["--subjects", "oauth-storage,sqlx-pool", "--rounds", &rounds];
    options.extend(["--seconds", &seconds, "--rows", &rows, "--tasks", "1"]);
    options.extend(["--operations", &list]);
    let run = run(&this()?, &options, false)?;
    for operation in operations {
        let p50 = |subject| run.get(operation, subject, 1, "p50_us");
        let ratio = p50("oauth-storage").zip(p50("sqlx-pool")).map(|(ours, plain)| ours / plain);
        table.at_most(format!("{operation}, one caller: p50 against plain sqlx"), 1.05, ratio);
    }
    Ok(())
}

pub(super) fn purge(scale: &Scale, table: &mut Table) -> Result<(), String> {
    let rows = scale.owned.to_string();
    let seconds = scale.seconds.as_secs_f64().to_string();
    let options = ["--growth", &rows, "--seconds", &seconds, "--rounds", "1"];
    let run = run(&this()?, &options, false)?;
    let rate = run.get("purge", "oauth-storage", 16, "ops_per_s");
    table.at_least("purge under load: rows a second", 100_000.0, rate);
    let p99 = |operation| run.get(operation, "oauth-storage", 16, "p99_us");
    let ratio =
        p99("purge_introspect").zip(p99("introspect")).map(|(with, without)| with / without);
    table.at_most("purge under load: p99 of lookups, with against without", 2.0, ratio);
    Ok(())
}

/// Measures the cluster that the environment names.
pub(super) fn cluster(scale: &Scale, table: &mut Table) -> Result<(), String> {
    let seconds = scale.seconds.as_secs_f64().to_string();
    let rounds = scale.rounds.to_string();
    let mut options = vec!["--subjects", "oauth-storage", "--tasks", "16", "--rows", "2000"];
    options.extend(["--operations", "redeem,rotate,revoke_token"]);
    options.extend(["--seconds", &seconds, "--rounds", &rounds]);
    let run = run(&this()?, &options, true)?;
    for (operation, least) in [("redeem", 1_000.0), ("rotate", 1_000.0), ("revoke_token", 500.0)] {
        let rate = run.get(operation, "oauth-storage", 16, "ops_per_s");
        table.at_least(format!("Citus, 16 callers: {operation} a second"), least, rate);
    }
    Ok(())
}
