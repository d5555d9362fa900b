//! `client update`: other metadata.

use oauth_storage::{ClientMetadata, ClientRegistry as _};
use serde_json::{Map, Value};

use super::metadata::Metadata;
use super::{declaration, not_found, show};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::file;

/// Change the metadata of a client.
///
/// A file replaces all metadata (RFC 7592 2.2); options alone change only what they name. An empty value removes a
/// member: --name "".
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client.
    client_id: String,
    #[command(flatten)]
    metadata: Metadata,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let Args { client_id, metadata } = args;
    let replacement = metadata.read()?;
    if replacement.is_none() && metadata.is_empty() {
        return Err(Error::Usage("nothing is to change; name a file, or use options".into()));
    }
    let storage = context.storage().await?;
    let before = storage.read_client(client_id).await?.ok_or_else(|| not_found(client_id))?;
    let mut members = match replacement {
        Some(members) => members,
        None => match serde_json::to_value(&before.metadata)? {
            Value::Object(members) => members,
            _ => Map::new(),
        },
    };
    metadata.apply(&mut members);
    let new = declaration::metadata(client_id, members).map_err(|error| match &metadata.file {
        Some(file) => Error::Failed(format!("{}: {error}", file::name(file))),
        None => error.into(),
    })?;
    let updated = storage.update_client(client_id, new).await?;
    storage.close().await;
    let updated = updated.ok_or_else(|| not_found(client_id))?;
    show::print(&updated, context)?;
    let uses_secret = |metadata: &ClientMetadata| metadata.token_endpoint_auth_method.uses_secret();
    if uses_secret(&updated.metadata) && !uses_secret(&before.metadata) {
        eprintln!("It has no secret yet: oauth-storage client rotate-secret {client_id}");
    }
    Ok(())
}
