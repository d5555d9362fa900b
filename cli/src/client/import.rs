//! `client import`: the clients of a file.

mod apply;
mod input;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use indicatif::ProgressBar;
use oauth_storage::PgStorage;
use serde::Serialize;
use tokio::task::JoinSet;

use super::secret_file::SecretFile;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;
use apply::{Outcome, apply};
use input::Line;

/// The clients that are imported at the same time.
const AT_ONCE: usize = 8;

/// Register or change clients as a file of JSON objects, one a line, says.
///
/// A line is metadata with client_id, as client export writes it; client_secret or client_secret_hash set the
/// secret. The file is checked before anything is changed. Doing it again changes nothing: a client that exists gets
/// the metadata of its line and keeps its secrets, unless the line has another.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the secrets that are generated to this new file, of mode 600: a JSON object a line, with client_id and
    /// client_secret. Needed if a new client has a secret that its line does not give.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    created: u64,
    updated: u64,
    unchanged: u64,
    expired: u64,
}

/// The outcome of an import.
#[derive(Default)]
struct Import {
    summary: Summary,
    /// The first error.
    error: Option<Error>,
    /// The clients that need a secret and, since a call failed, have none that was written.
    without_secret: Vec<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let lines = input::read(&args.file)?;
    let storage = context.storage().await?;
    let secrets = args.secret_file.as_deref().map(SecretFile::create).transpose()?;
    let secrets = secrets.map(|file| Arc::new(Mutex::new(file)));
    let template = "{bar:40} {human_pos} of {human_len} clients, {per_sec}, {eta} left";
    let bar = output::bar(Some(lines.len() as u64), template);
    let Import { summary, error, without_secret } = import(&storage, lines, secrets, &bar).await;
    bar.finish_and_clear();
    storage.close().await;
    if let Some(error) = error {
        let done = summary.created + summary.updated;
        return Err(explained(error, done, args.secret_file.is_some(), &without_secret));
    }
    if context.is_json() {
        return output::json(&summary);
    }
    let number = |lines| output::number(i64::try_from(lines).unwrap_or(i64::MAX));
    let created = number(summary.created);
    let (updated, unchanged) = (number(summary.updated), number(summary.unchanged));
    let mut text = format!("{created} created, {updated} updated, {unchanged} unchanged");
    if summary.expired > 0 {
        text += &format!(", {} left out because they have expired", number(summary.expired));
    }
    output::line(&text)
}

/// Adds what to do after an error.
fn explained(error: Error, done: u64, has_file: bool, without_secret: &[String]) -> Error {
    if done == 0 && without_secret.is_empty() {
        return error;
    }
    let mut text = error.to_string();
    if done > 0 {
        text += &format!("; {} done", output::count(done, "client"));
    }
    text += if done > 0 { ", " } else { "; " };
    text += "run it again to continue";
    if has_file {
        text += ", with another --secret-file";
    }
    for client_id in without_secret {
        text += &format!("; then run: oauth-storage client rotate-secret {client_id}");
    }
    Error::Failed(text)
}

/// Imports the lines until one fails, or a signal ends it. Lines that have begun are finished.
async fn import(
    storage: &PgStorage,
    lines: Vec<Line>,
    secrets: Option<Arc<Mutex<SecretFile>>>,
    bar: &ProgressBar,
) -> Import {
    let mut import = Import::default();
    let mut lines = lines.into_iter();
    let mut running = JoinSet::new();
    let mut ended = pin!(output::ended());
    loop {
        while running.len() < AT_ONCE
            && import.error.is_none()
            && let Some(line) = lines.next()
        {
            let (storage, secrets) = (storage.clone(), secrets.clone());
            running.spawn(async move {
                let outcome = apply(&storage, line.declared, secrets.as_deref()).await;
                (line.number, line.client_id, outcome)
            });
        }
        let done = tokio::select! {
            done = running.join_next() => done,
            () = &mut ended, if import.error.is_none() => {
                import.error = Some(Error::Failed("interrupted".into()));
                continue;
            }
        };
        let Some(done) = done else { break };
        match done {
            Ok((_, _, Ok(outcome))) => {
                bar.inc(1);
                import.summary.add(&outcome);
            }
            Ok((number, client_id, Err(failure))) => {
                let place = format!("line {number}, {client_id}");
                import.error = import.error.or(Some(in_line(&place, failure.error)));
                if failure.lacks_secret {
                    import.without_secret.push(client_id);
                }
            }
            Err(error) => import.error = import.error.or(Some(Error::Failed(error.to_string()))),
        }
    }
    import
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Updated => self.updated += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Expired => self.expired += 1,
        }
    }
}

fn in_line(place: &str, error: Error) -> Error {
    match error {
        Error::Failed(why) => Error::Failed(format!("{place}: {why}")),
        Error::Usage(why) => Error::Usage(format!("{place}: {why}")),
        other => other,
    }
}
