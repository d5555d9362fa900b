//! `client delete`: a client with all its grants.

use oauth_storage::ClientRegistry as _;
use serde_json::json;

use super::not_found;
use crate::ask;
use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Delete a client with all its grants, tokens and codes.
///
/// If it fails, run it again: it continues.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client.
    client_id: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let Args { client_id, yes } = args;
    let storage = context.storage().await?;
    let client = storage.read_client(client_id).await?.ok_or_else(|| not_found(client_id))?;
    let name = match &client.metadata.details.client_name {
        Some(name) => format!("{client_id} ({name})"),
        None => client_id.clone(),
    };
    ask::confirm(
        &format!("Delete the client {name} with all its grants? It cannot be undone."),
        *yes,
    )?;
    let is_deleted = output::waiting("deleting", storage.delete_client(client_id)).await?;
    storage.close().await;
    if !is_deleted {
        return Err(not_found(client_id));
    }
    if context.is_json() {
        return output::json(&json!({ "client_id": client_id, "deleted": true }));
    }
    output::line(&format!("{client_id} is deleted"))
}
