//! `oauth-storage purge`: removes expired rows.

use std::io::{IsTerminal as _, stderr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use oauth_storage::grant::Purged;
use oauth_storage::{GrantStorageExt as _, PgStorage};
use serde_json::{Value, json};

use crate::context::{Context, answered};
use crate::error::Result;
use crate::output;

/// Remove expired tokens, codes, device authorizations, sessions, records and keys, in batches.
///
/// Any number may run at the same time, on any number of machines: they share the work.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run again and again, with this time between two runs, at least 1s, until SIGTERM or Ctrl-C.
    #[arg(long, value_name = "DURATION", value_parser = period)]
    every: Option<Duration>,
    /// The number of rows of each kind that a statement removes.
    #[arg(long, value_name = "ROWS", default_value = "5000",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

/// Parses the time between two runs. Without a pause the job would query the server in a loop.
fn period(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(period) if period < Duration::from_secs(1) => Err("it is shorter than 1s".into()),
        Ok(period) => Ok(period),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    // A batch cannot wait for the signal, so it looks at this flag.
    let has_ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_ended);
    let mut signal = tokio::spawn(async move {
        output::ended().await;
        flag.store(true, Ordering::Relaxed);
    });
    loop {
        match once(&storage, args, context, &has_ended).await {
            Ok(purged) => report(&purged, context)?,
            // A job that runs for long outlives a restart of the server.
            Err(error) if args.every.is_some() => {
                eprintln!("oauth-storage: {}", output::visible(&error.to_string()))
            }
            Err(error) => return Err(error),
        }
        let Some(every) = args.every else { break };
        tokio::select! {
            _ = &mut signal => break,
            () = tokio::time::sleep(every) => {}
        }
    }
    signal.abort();
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn once(
    storage: &PgStorage,
    args: &Args,
    context: &Context,
    has_ended: &AtomicBool,
) -> Result<Purged> {
    let bar = bar(context).await?;
    let purged = storage
        .purge_with(args.batch as usize, |batch| {
            bar.inc(rows(&batch));
            if has_ended.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
    bar.finish_and_clear();
    Ok(purged?)
}

/// A bar on a terminal, as long as the backlog. Only so many rows of a table are counted; a longer backlog has a spinner.
async fn bar(context: &Context) -> Result<ProgressBar> {
    const COUNTED: i64 = 100_000;
    if !stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let mut connection = context.read_only(context.connect_options()?).await?;
    let backlog = sqlx::query_file!("src/sql/backlog.sql", COUNTED).fetch_all(&mut connection);
    let backlog = answered(backlog).await?;
    if backlog.iter().any(|table| table.expired >= COUNTED) {
        return Ok(output::bar(None, "{spinner} {human_pos} rows, {per_sec}"));
    }
    let all: i64 = backlog.iter().map(|table| table.expired).sum();
    let template = "{bar:40} {human_pos} of {human_len} rows, {per_sec}, {eta} left";
    Ok(output::bar(Some(all.unsigned_abs()), template))
}

fn rows(purged: &Purged) -> u64 {
    purged.tokens
        + purged.authorization_codes
        + purged.records
        + purged.device_authorizations
        + purged.sessions
}

fn report(purged: &Purged, context: &Context) -> Result<()> {
    let parts = [
        ("token", purged.tokens),
        ("authorization_code", purged.authorization_codes),
        ("grant", purged.grants),
        ("device_authorization", purged.device_authorizations),
        ("session", purged.sessions),
        ("record", purged.records),
        ("signing_key", purged.signing_keys),
    ];
    if context.is_json() {
        let object = parts.iter().map(|(name, rows)| (format!("{name}s"), json!(rows)));
        return output::json(&Value::Object(object.collect()));
    }
    let removed = parts.iter().filter(|(_, rows)| *rows > 0);
    let removed: Vec<_> =
        removed.map(|(name, rows)| output::count(*rows, &name.replace('_', " "))).collect();
    match removed.as_slice() {
        [] => output::line("nothing has expired"),
        removed => output::line(&format!("removed {}", removed.join(", "))),
    }
}
