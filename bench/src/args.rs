//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::operation::{Operation, SubjectName};

pub(crate) const HELP: &str = "\
Compares the storage with plain SQL on the same tables, on a throwaway PostgreSQL.

cargo run --release -p oauth-storage-bench -- [options]

  --tasks 1,16,64,256     concurrent callers
  --seconds 3             duration of each measurement
  --rounds 3              repetitions; the median is reported
  --rows 200000           credentials loaded beforehand
  --operations a,b        of get_token, introspect, create_token, redeem, rotate,
                          revoke_token, get_client, claim, poll, mix
  --subjects a,b          of oauth-storage, sqlx-pool, pgbench
  --growth 10000,10000000 for each of these row counts: lookups, bytes per credential, purge;
                          alone (without --operations) it skips the other measurements
  --acceptance            only the acceptance table: the required figures
  --baseline PATH         the benchmark of another version to compare with (CONTRIBUTING.md)
  --json FILE             writes the figures as JSON
  --plot FILE.svg         writes the figures as a plot
  --short                 a smoke run of seconds: every check, meaningless figures
  --help                  print this help

The server is a private, durable one, or the one of DATABASE_URL (or OAUTH_STORAGE_DATABASE_URL), or
a Citus cluster through the coordinator of OAUTH_STORAGE_TEST_CITUS (docs/citus.md).";

#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub(crate) tasks: Vec<usize>,
    pub(crate) seconds: Duration,
    pub(crate) rounds: usize,
    pub(crate) rows: u64,
    /// Empty if only growth is requested.
    pub(crate) operations: Vec<Operation>,
    pub(crate) subjects: Vec<SubjectName>,
    pub(crate) growth: Vec<u64>,
    pub(crate) acceptance: bool,
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) plot: Option<PathBuf>,
    pub(crate) short: bool,
}

impl Args {
    /// Parses the arguments. `None` if help is requested.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let arguments: Vec<String> = arguments.collect();
        let short = arguments.iter().any(|argument| argument == "--short");
        let mut args = if short {
            Self {
                tasks: vec![1, 8],
                seconds: Duration::from_millis(100),
                rounds: 1,
                rows: 2_000,
                ..Self::full()
            }
        } else {
            Self::full()
        };
        args.short = short;
        let mut operations = None;

        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                // Handled above.
                "--short" => continue,
                "--acceptance" => {
                    args.acceptance = true;
                    continue;
                }
                _ => {}
            }
            let mut value = || {
                inline.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"))
            };
            match name.as_str() {
                "--tasks" => args.tasks = list(&name, &value()?)?,
                "--seconds" => args.seconds = seconds(&name, &value()?)?,
                "--rounds" => args.rounds = number(&name, &value()?)?,
                "--rows" => args.rows = number(&name, &value()?)?,
                "--operations" => {
                    let named: Result<Vec<_>, _> =
                        value()?.split(',').map(Operation::parse).collect();
                    operations = Some(named?);
                }
                "--subjects" => {
                    let named: Result<_, _> = value()?.split(',').map(SubjectName::parse).collect();
                    args.subjects = named?;
                }
                "--growth" => args.growth = list(&name, &value()?)?,
                "--baseline" => args.baseline = Some(value()?.into()),
                "--json" => args.json = Some(value()?.into()),
                "--plot" => args.plot = Some(value()?.into()),
                _ => return Err(format!("{name}: no such option")),
            }
        }
        args.operations = match operations {
            Some(operations) => operations,
            None if args.growth.is_empty() => Operation::ALL.to_vec(),
            None => Vec::new(),
        };
        // Lookups need rows, and a row alone is half a pair.
        let rows = args.growth.iter().chain([&args.rows]);
        if rows.into_iter().any(|rows| *rows < 1_000) {
            return Err("fewer than 1000 rows measure nothing".to_owned());
        }
        if args.rounds == 0 || args.tasks.is_empty() || args.tasks.contains(&0) {
            return Err("--rounds and --tasks must be at least 1".to_owned());
        }
        Ok(Some(args))
    }

    fn full() -> Self {
        Self {
            tasks: vec![1, 16, 64, 256],
            seconds: Duration::from_secs(3),
            rounds: 3,
            rows: 200_000,
            operations: Vec::new(),
            subjects: SubjectName::ALL.to_vec(),
            growth: Vec::new(),
            acceptance: false,
            baseline: None,
            json: None,
            plot: None,
            short: false,
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{name}: {text:?} is not a number"))
}

fn list<T: std::str::FromStr>(name: &str, text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|part| number(name, part)).collect()
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    let seconds: f64 = number(name, text)?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or(format!("{name}: {text} is not a duration"))
}
