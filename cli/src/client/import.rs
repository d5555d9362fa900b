mod input;

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use oauth_storage::client::ClientSecretRotation;
use oauth_storage::{ClientRegistry as _, NewClient, PgStorage, Secret};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::declaration::Declaration;
use super::secret_file::SecretFile;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;
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

/// What became of a line.
enum Outcome {
    Created(Option<Secret>),
    Updated(Option<Secret>),
    Unchanged,
    Expired,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let lines = input::read(&args.file)?;
    let storage = context.storage().await?;
    let mut file = args.secret_file.as_deref().map(SecretFile::create).transpose()?;
    let bar = bar(lines.len());
    let outcome = import(&storage, lines, file.as_mut(), &bar).await;
    bar.finish_and_clear();
    storage.close().await;
    let (summary, failed) = outcome;
    if let Some(error) = failed {
        return Err(match summary.created + summary.updated {
            0 => error,
            done => Error::Failed(format!(
                "{error}; {} done, run it again to continue",
                output::count(done, "client")
            )),
        });
    }
    if context.is_json() {
        return output::json(&summary);
    }
    let number = |own| output::number(i64::try_from(own).unwrap_or(i64::MAX));
    let created = number(summary.created);
    let (updated, unchanged) = (number(summary.updated), number(summary.unchanged));
    let mut text = format!("{created} created, {updated} updated, {unchanged} unchanged");
    if summary.expired > 0 {
        text += &format!(", {} left out because they have expired", number(summary.expired));
    }
    output::line(&text)
}

fn bar(lines: usize) -> ProgressBar {
    // Drawn on standard error, and only if that is a terminal.
    let bar = ProgressBar::new(lines as u64);
    let style = "{bar:40} {human_pos} of {human_len} clients, {per_sec}, {eta} left";
    // The template is fixed, so it is valid.
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Imports the lines until one fails, or a signal ends it. Those that have begun are finished, because their secrets must be written.
async fn import(
    storage: &PgStorage,
    lines: Vec<Line>,
    mut file: Option<&mut SecretFile>,
    bar: &ProgressBar,
) -> (Summary, Option<Error>) {
    let may_generate = file.is_some();
    let mut summary = Summary::default();
    let mut failed = None;
    let mut lines = lines.into_iter();
    let mut running = JoinSet::new();
    let mut ended = pin!(output::ended());
    loop {
        while running.len() < AT_ONCE
            && failed.is_none()
            && let Some(line) = lines.next()
        {
            let storage = storage.clone();
            running.spawn(async move {
                let outcome = one(&storage, line.declared, may_generate).await;
                let place = format!("line {}, {}", line.number, line.client_id);
                (line.client_id, outcome.map_err(|error| in_line(&place, error)))
            });
        }
        let done = tokio::select! {
            done = running.join_next() => done,
            () = &mut ended, if failed.is_none() => {
                failed = Some(Error::Failed("interrupted".into()));
                continue;
            }
        };
        let Some(done) = done else { break };
        let done = done.map_err(|error| Error::Failed(error.to_string()));
        let (client_id, outcome) = match done {
            Ok((client_id, Ok(outcome))) => (client_id, outcome),
            Ok((_, Err(error))) | Err(error) => {
                failed = failed.or(Some(error));
                continue;
            }
        };
        bar.inc(1);
        let secret = match outcome {
            Outcome::Created(secret) => {
                summary.created += 1;
                secret
            }
            Outcome::Updated(secret) => {
                summary.updated += 1;
                secret
            }
            Outcome::Unchanged => {
                summary.unchanged += 1;
                None
            }
            Outcome::Expired => {
                summary.expired += 1;
                None
            }
        };
        if let (Some(secret), Some(file)) = (secret, file.as_deref_mut()) {
            let line = json!({ "client_id": client_id, "client_secret": secret.expose() });
            if let Err(error) = file.write(&client_id, &line.to_string()) {
                failed = failed.or(Some(error));
            }
        }
    }
    (summary, failed)
}

fn in_line(place: &str, error: Error) -> Error {
    match error {
        Error::Failed(why) => Error::Failed(format!("{place}: {why}")),
        Error::Usage(why) => Error::Usage(format!("{place}: {why}")),
        other => other,
    }
}

async fn one(storage: &PgStorage, declared: Declaration, may_generate: bool) -> Result<Outcome> {
    let expires_in = match declared.expires_at.map(output::until) {
        Some(None) => return Ok(Outcome::Expired),
        Some(rest) => rest,
        None => None,
    };
    let client_id = declared.client_id.clone().unwrap_or_default();
    let before = storage.read_client(&client_id).await?;
    if before.as_ref().is_some_and(|own| own.deleted_at.is_some()) {
        return Err(Error::Failed("it is being deleted; finish that with client delete".into()));
    }
    let uses_secret = declared.metadata.token_endpoint_auth_method.uses_secret();
    let new = NewClient::new(declared.metadata.clone())
        .with_client_id(&client_id)
        .with_expires_in(expires_in);
    let had_secret =
        before.as_ref().is_some_and(|own| own.metadata.token_endpoint_auth_method.uses_secret());
    let generates = uses_secret && !had_secret && declared.client_secret.is_none();
    if generates && !may_generate {
        return Err(Error::Usage(
            "a secret is generated for it; name a file for it with --secret-file".into(),
        ));
    }
    let outcome = match (&before, declared.client_secret) {
        (None, None) => Outcome::Created(storage.register_client(new).await?.client_secret),
        (Some(before), None) if before.metadata == declared.metadata => Outcome::Unchanged,
        (Some(_), None) => {
            let updated = storage.update_client(&client_id, declared.metadata).await?;
            updated.ok_or_else(|| super::not_found(&client_id))?;
            Outcome::Updated(if generates {
                let rotation = ClientSecretRotation::new();
                let rotated = storage.rotate_client_secret(&client_id, rotation).await?;
                rotated.and_then(|own| own.client_secret)
            } else {
                None
            })
        }
        (before, Some(secret)) => {
            let after = storage.ensure_client(new.with_client_secret(secret)).await?;
            match before {
                None => Outcome::Created(None),
                Some(before) if before.updated_at == after.updated_at => Outcome::Unchanged,
                Some(_) => Outcome::Updated(None),
            }
        }
    };
    let is_disabled = before.is_some_and(|own| own.disabled_at.is_some());
    if declared.is_disabled && !is_disabled {
        storage.set_client_disabled(&client_id, true).await?;
        if matches!(outcome, Outcome::Unchanged) {
            return Ok(Outcome::Updated(None));
        }
    }
    Ok(outcome)
}
