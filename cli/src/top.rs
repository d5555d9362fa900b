//! `oauth-storage top`: live activity.

mod database;
mod process;
mod render;

use std::io::{IsTerminal as _, Write as _, stdout};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::context::{Context, answered};
use crate::error::{Error, Result};
use crate::output;

/// Show live activity, refreshed each second, until Ctrl-C.
///
/// From the database: sessions, rows that come and go, and the backlog of the purge. With --metrics also what a process
/// reports: calls by kind, their duration, the batches and the lanes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The metrics of a process, in the text format of Prometheus.
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// The time between two readings.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// The number of readings; endless by default.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Reading<'a> {
    #[serde(flatten)]
    database: &'a database::Database,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a process::Process>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let every = args.every.max(Duration::from_millis(100));
    let mut connection = context.read_only(context.connect_options()?).await?;
    let mut before = answered(database::Snapshot::take(&mut connection)).await?;
    let mut process_before = match &args.metrics {
        Some(url) => Some(process::Snapshot::take(url).await?),
        None => None,
    };
    let screen = if context.is_json() { None } else { Some(Screen::open()?) };
    let mut next = Instant::now();
    // Also while a server does not answer.
    let mut ended = pin!(output::ended());
    for _ in 0..args.count.unwrap_or(u64::MAX) {
        next = (next + every).max(Instant::now());
        let round = async {
            sleep_until(next).await;
            let database = answered(database::Snapshot::take(&mut connection)).await?;
            let process = match &args.metrics {
                Some(url) => Some(process::Snapshot::take(url).await?),
                None => None,
            };
            Ok::<_, Error>((database, process))
        };
        let (now, process_now) = tokio::select! {
            taken = round => taken?,
            () = &mut ended => break,
        };
        let database = now.since(&before);
        before = now;
        let mut process = None;
        if let (Some(now), Some(earlier)) = (process_now, &mut process_before) {
            process = Some(now.since(earlier));
            *earlier = now;
        }
        match &screen {
            Some(screen) => {
                let title = "oauth-storage top";
                screen.show(&render::frame(title, &database, process.as_ref()))?;
            }
            None => output::json(&Reading { database: &database, process: process.as_ref() })?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The screen of a terminal. Dropping it restores the screen.
struct Screen {
    is_terminal: bool,
}

impl Screen {
    fn open() -> std::io::Result<Self> {
        let is_terminal = stdout().is_terminal();
        if is_terminal {
            // The alternate screen, without a cursor.
            write!(stdout(), "\x1b[?1049h\x1b[?25l")?;
        }
        Ok(Self { is_terminal })
    }

    fn show(&self, frame: &str) -> std::io::Result<()> {
        // A process chooses the labels of its metrics.
        let frame = output::visible(frame);
        let mut out = stdout().lock();
        if self.is_terminal {
            // Over the last frame, so that nothing flickers.
            write!(out, "\x1b[H{}\x1b[J", frame.replace('\n', "\x1b[K\r\n"))?;
        } else {
            writeln!(out, "{frame}")?;
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            let mut out = stdout().lock();
            // Nobody is left to see it if this fails.
            let _ = write!(out, "\x1b[?25h\x1b[?1049l").and_then(|()| out.flush());
        }
    }
}
