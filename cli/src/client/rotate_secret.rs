//! `client rotate-secret`: a new secret.

use std::path::PathBuf;
use std::time::Duration;

use oauth_storage::ClientRegistry as _;
use oauth_storage::client::ClientSecretRotation;
use oauth_storage::error::InvalidReason;

use super::not_found;
use super::register::show_secret;
use super::secret_file::SecretFile;
use crate::context::Context;
use crate::error::{Error, Result};

/// Give a client a new secret, which is shown once, or written to a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client.
    client_id: String,
    /// The time for which the old secret stays valid; 0s ends all earlier ones at once.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    overlap: Duration,
    /// The lifetime of the new secret, such as 90days; without end by default.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    secret_expires_in: Option<Duration>,
    /// Write the secret to this new file, of mode 600, and do not show it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let rotation = ClientSecretRotation::new()
        .with_overlap(args.overlap)
        .with_client_secret_expires_in(args.secret_expires_in);
    let storage = context.storage().await?;
    let mut file = args.secret_file.as_deref().map(SecretFile::create).transpose()?;
    let rotated = storage.rotate_client_secret(&args.client_id, rotation).await;
    storage.close().await;
    let rotated = rotated.map_err(|error| refused(&args.client_id, error))?;
    let rotated = rotated.ok_or_else(|| not_found(&args.client_id))?;
    show_secret(&rotated, file.as_mut(), context)
}

fn refused(client_id: &str, error: oauth_storage::Error) -> Error {
    use oauth_storage::Error::Invalid;
    Error::Failed(match error {
        Invalid { field: "overlap", reason: InvalidReason::TooMany(_) } => format!(
            "two earlier secrets of {client_id} are still valid; wait, or end them with --overlap 0s"
        ),
        Invalid { field: "token_endpoint_auth_method", .. } => {
            format!(
                "{client_id} authenticates without a secret; see oauth-storage client update --auth-method"
            )
        }
        other => return other.into(),
    })
}
