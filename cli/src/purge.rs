//! `oauth-storage purge`: removes what has expired.

use std::io::{IsTerminal as _, stderr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use oauth_storage::grant::Purged;
use oauth_storage::{GrantStorageExt as _, PgStorage};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Removes expired tokens, codes, device authorizations, sessions, records and keys, in batches.
///
/// Any number may run at the same time, on any number of machines: they share the work.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run again and again, with this time between two runs, until SIGTERM or Ctrl-C.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    every: Option<Duration>,
    /// The number of rows of each kind that a statement removes.
    #[arg(long, value_name = "ROWS", default_value = "5000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    let ends = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ends);
    let signal = tokio::spawn(async move {
        output::ended().await;
        told.store(true, Ordering::Relaxed);
    });
    loop {
        let purged = match once(&storage, args, context, &ends).await {
            Ok(purged) => purged,
            // A job that runs for long outlives a restart of the server.
            Err(error) if args.every.is_some() => {
                eprintln!("oauth-storage: {error}");
                Purged::default()
            }
            Err(error) => return Err(error),
        };
        report(&purged, context)?;
        let Some(every) = args.every.filter(|_| !ends.load(Ordering::Relaxed)) else { break };
        let mut rest = every;
        while !rest.is_zero() && !ends.load(Ordering::Relaxed) {
            let step = rest.min(Duration::from_millis(100));
            tokio::time::sleep(step).await;
            rest -= step;
        }
        if ends.load(Ordering::Relaxed) {
            break;
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
    ends: &AtomicBool,
) -> Result<Purged> {
    let bar = bar(context).await?;
    let purged = storage
        .purge_with(args.batch as usize, |batch| {
            bar.inc(rows(&batch));
            if ends.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
    bar.finish_and_clear();
    Ok(purged?)
}

/// A bar on a terminal, as long as what has expired. It counts no more than 100,000 rows of a table, so a longer
/// backlog has a bar without an end.
async fn bar(context: &Context) -> Result<ProgressBar> {
    if !stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let mut connection = context.read_only(context.connect_options()?).await?;
    let backlog =
        sqlx::query_file!("src/sql/backlog.sql").fetch_all(&mut connection).await?;
    let is_long = backlog.iter().any(|own| own.expired >= 100_000);
    let all: i64 = backlog.iter().map(|own| own.expired).sum();
    let bar =
        if is_long { ProgressBar::new_spinner() } else { ProgressBar::new(all.unsigned_abs()) };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let style = if is_long {
        "{spinner} {human_pos} rows, {per_sec}"
    } else {
        "{bar:40} {human_pos} of {human_len} rows, {per_sec}, {eta} left"
    };
    // The templates are fixed, so they are valid.
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
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
        ("tokens", purged.tokens),
        ("authorization_codes", purged.authorization_codes),
        ("grants", purged.grants),
        ("device_authorizations", purged.device_authorizations),
        ("sessions", purged.sessions),
        ("records", purged.records),
        ("signing_keys", purged.signing_keys),
    ];
    if context.is_json() {
        let object = parts.iter().map(|(name, rows)| ((*name).to_owned(), json!(rows)));
        return output::json(&Value::Object(object.collect()));
    }
    let removed = parts.iter().filter(|(_, rows)| *rows > 0);
    let removed: Vec<_> = removed
        .map(|(name, rows)| {
            let rows = i64::try_from(*rows).unwrap_or(i64::MAX);
            format!("{} {}", output::number(rows), name.replace('_', " "))
        })
        .collect();
    match removed.as_slice() {
        [] => println!("nothing has expired"),
        removed => println!("removed {}", removed.join(", ")),
    }
    Ok(())
}
