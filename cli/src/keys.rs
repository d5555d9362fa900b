//! `oauth-storage keys`: the signing keys of ID tokens.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use oauth_storage::id_token::SigningAlgorithm;
use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys};
use oauth_storage::signing_key::KeyRotationOutcome;
use oauth_storage::{Error as StorageError, PgStorage};
use serde::Serialize;
use serde_json::json;

use crate::context::{Context, answered};
use crate::error::{Error, Result};
use crate::{ask, file, output};

/// List, rotate, revoke and re-encrypt the signing keys.
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
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        old: OldKeyArgs,
        /// The algorithm.
        #[arg(long = "alg", value_name = "ALG", default_value = "ES256")]
        algorithm: SigningAlgorithm,
    },
    /// Revoke every key of an algorithm after a compromise, and store a new active key.
    ///
    /// A server signs with the revoked key until it loads its keys again, so restart all servers afterwards. It needs
    /// only the key that encrypts the new signing key. Run it for each algorithm.
    Revoke {
        #[command(flatten)]
        keys: KeyArgs,
        /// The algorithm.
        #[arg(long = "alg", value_name = "ALG", default_value = "ES256")]
        algorithm: SigningAlgorithm,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Encrypt the keys that are under an old encryption key under the current one.
    ///
    /// If it fails, run it again: it continues. It does not help if somebody has read the old encryption key: revoke
    /// the signing keys then.
    Reencrypt {
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        old: OldKeyArgs,
    },
}

// Not a doc comment: clap would show it in place of the help of the command.
// The keys of an issuer.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// The issuer.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// A file with the key that encrypts the signing keys (openssl rand -base64 32). Without it the variable
    /// KEY_ENCRYPTION_KEY.
    #[arg(long, value_name = "FILE")]
    encryption_key_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OldKeyArgs {
    /// A file with an encryption key that only decrypts; repeat it for more.
    #[arg(long = "old-encryption-key-file", value_name = "FILE")]
    files: Vec<PathBuf>,
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
        Command::Rotate { keys, old, algorithm } => {
            let rotate = async |keys: ManagedKeys<PgStorage>| keys.rotate(*algorithm).await;
            report(with_keys(keys, &old.files, context, rotate).await?, context)?;
        }
        Command::Revoke { keys, algorithm, yes } => revoke(keys, *algorithm, *yes, context).await?,
        Command::Reencrypt { keys, old } => {
            let reencrypt = async |keys: ManagedKeys<PgStorage>| keys.reencrypt().await;
            let done = with_keys(keys, &old.files, context, reencrypt).await?;
            if context.is_json() {
                output::json(&json!({ "reencrypted_keys": done }))?;
            } else {
                output::line(&format!("{} re-encrypted", output::count(done, "key")))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Calls an operation with the keys of the arguments.
async fn with_keys<T>(
    args: &KeyArgs,
    old: &[PathBuf],
    context: &Context,
    operation: impl AsyncFnOnce(ManagedKeys<PgStorage>) -> Result<T, StorageError>,
) -> Result<T> {
    let mut encryption = KeyEncryption::new(encryption_key(args.encryption_key_file.as_ref())?);
    for file in old {
        encryption =
            encryption.with_other(KeyEncryptionKey::from_base64(file::read(file)?.trim())?);
    }
    let storage = context.storage().await?;
    let outcome = operation(ManagedKeys::new(storage.clone(), &args.issuer, encryption)).await;
    storage.close().await;
    Ok(outcome?)
}

fn encryption_key(file: Option<&PathBuf>) -> Result<KeyEncryptionKey> {
    let text = match file {
        Some(file) => file::read(file)?,
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

async fn revoke(
    args: &KeyArgs,
    algorithm: SigningAlgorithm,
    yes: bool,
    context: &Context,
) -> Result<()> {
    let issuer = &args.issuer;
    ask::confirm(
        &format!(
            "Revoke every {algorithm} key of {issuer}? ID tokens that were issued no longer verify."
        ),
        yes,
    )?;
    let revoke = async |keys: ManagedKeys<PgStorage>| keys.revoke(algorithm).await;
    let revoked = with_keys(args, &[], context, revoke).await?;
    if context.is_json() {
        return output::json(&json!({ "revoked_keys": revoked }));
    }
    let revoked = output::count(revoked, "key");
    output::line(&format!("{revoked} revoked, a new key is active; restart all servers"))
}

async fn list(issuer: Option<&str>, context: &Context) -> Result<()> {
    let mut connection = context.read_only(context.connect_options()?).await?;
    let keys = sqlx::query_file_as!(Key, "src/sql/list_signing_keys.sql", issuer)
        .fetch_all(&mut connection);
    let keys = answered(keys).await?;
    if context.is_json() {
        return output::json(&keys);
    }
    let mut table = output::table(&["ISSUER", "ALG", "KEY", "STATE", "ACTIVE SINCE", "ENDS"]);
    for key in keys {
        let time = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".into(), output::time);
        let (since, ends) = (time(key.activated_at), time(key.expires_at));
        table.add_row([key.issuer, key.alg, key.kid, key.state, since, ends]);
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
    output::line(&text)
}
