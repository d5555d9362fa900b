//! `oauth-storage keys`: the signing keys of ID tokens.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use oauth_storage::id_token::SigningAlgorithm;
use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys};
use oauth_storage::signing_key::KeyRotationOutcome;
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;

/// Lists and rotates the signing keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the signing keys, without their private halves.
    List {
        /// The issuer; all by default.
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
    /// Take the step of the rotation that is due: store the first key, announce the next, or make it active.
    ///
    /// Servers with ManagedKeys do it by themselves. This is for a job, or before the first start.
    Rotate {
        /// The issuer.
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// The algorithm.
        #[arg(long = "alg", value_name = "ALG", default_value = "ES256")]
        algorithm: SigningAlgorithm,
        /// A file with the key that encrypts the signing keys (openssl rand -base64 32). Without it the variable
        /// KEY_ENCRYPTION_KEY.
        #[arg(long, value_name = "FILE")]
        encryption_key_file: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Key {
    issuer: String,
    alg: String,
    kid: String,
    state: String,
    created_at: DateTime<Utc>,
    activated_at: Option<DateTime<Utc>>,
    retired_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    encryption_key_id: String,
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::List { issuer } => list(issuer.as_deref(), context).await?,
        Command::Rotate { issuer, algorithm, encryption_key_file } => {
            let encryption = KeyEncryption::new(encryption_key(encryption_key_file.as_ref())?);
            let storage = context.storage().await?;
            let keys = ManagedKeys::new(storage.clone(), issuer, encryption);
            let outcome = keys.rotate(*algorithm).await?;
            storage.close().await;
            report(outcome, context)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn encryption_key(file: Option<&PathBuf>) -> Result<KeyEncryptionKey> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Error::Failed(format!("cannot read {}: {error}", file.display())))?,
        None => std::env::var("KEY_ENCRYPTION_KEY").map_err(|_| {
            Error::Usage(
                "no encryption key is given; use --encryption-key-file, or the variable \
                 KEY_ENCRYPTION_KEY"
                    .into(),
            )
        })?,
    };
    Ok(KeyEncryptionKey::from_base64(text.trim())?)
}

async fn list(issuer: Option<&str>, context: &Context) -> Result<()> {
    let mut connection = context.read_only(context.connect_options()?).await?;
    let keys = sqlx::query_file_as!(Key, "src/sql/list_signing_keys.sql", issuer)
        .fetch_all(&mut connection)
        .await?;
    if context.is_json() {
        return output::json(&keys);
    }
    let mut table = output::table(&["ISSUER", "ALG", "KEY", "STATE", "ACTIVE SINCE", "ENDS"]);
    for own in keys {
        let time = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".into(), output::time);
        table.add_row([
            own.issuer,
            own.alg,
            own.kid,
            own.state,
            time(own.activated_at),
            time(own.expires_at),
        ]);
    }
    output::print(&table)
}

fn report(outcome: KeyRotationOutcome, context: &Context) -> Result<()> {
    let (name, text, due_at) = match outcome {
        KeyRotationOutcome::Created => ("created", "the first key is active".into(), None),
        KeyRotationOutcome::Announced => {
            ("announced", "the next key is in the JWK set".into(), None)
        }
        KeyRotationOutcome::Rotated => ("rotated", "the next key is active".into(), None),
        KeyRotationOutcome::NotDue { due_at } => {
            let when = due_at.map_or_else(|| "later".into(), output::time);
            ("not_due", format!("nothing is due; the next step: {when}"), due_at)
        }
    };
    if context.is_json() {
        return output::json(&json!({ "outcome": name, "due_at": due_at }));
    }
    println!("{text}");
    Ok(())
}
