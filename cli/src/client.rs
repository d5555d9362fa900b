//! `oauth-storage client`: registrations.

mod declaration;
mod delete;
mod export;
mod import;
mod list;
mod metadata;
mod register;
mod rotate_secret;
mod secret_file;
mod show;
mod update;

use std::process::ExitCode;

use oauth_storage::ClientRegistry as _;
use serde_json::json;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;

/// Register, list and change clients, and move them between databases.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Register(register::Args),
    /// Show a client.
    Show {
        /// The client.
        client_id: String,
    },
    List(list::Args),
    Update(update::Args),
    /// Disable a client: it is not found, and nothing is issued to it. Tokens issued before stay active.
    Disable {
        /// The client.
        client_id: String,
    },
    /// Enable a disabled client again.
    Enable {
        /// The client.
        client_id: String,
    },
    Delete(delete::Args),
    RotateSecret(rotate_secret::Args),
    Import(import::Args),
    Export(export::Args),
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Register(args) => register::run(args, context).await?,
        Command::Show { client_id } => show::run(client_id, context).await?,
        Command::List(args) => list::run(args, context).await?,
        Command::Update(args) => update::run(args, context).await?,
        Command::Disable { client_id } => set_disabled(client_id, true, context).await?,
        Command::Enable { client_id } => set_disabled(client_id, false, context).await?,
        Command::Delete(args) => delete::run(args, context).await?,
        Command::RotateSecret(args) => rotate_secret::run(args, context).await?,
        Command::Import(args) => import::run(args, context).await?,
        Command::Export(args) => export::run(args, context).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn not_found(client_id: &str) -> Error {
    Error::NotFound(format!(
        "there is no client {client_id:?}, or it is being deleted; oauth-storage client list shows all"
    ))
}

async fn set_disabled(client_id: &str, disabled: bool, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let is_found = storage.set_client_disabled(client_id, disabled).await?;
    storage.close().await;
    if !is_found {
        return Err(not_found(client_id));
    }
    if context.is_json() {
        return output::json(&json!({ "client_id": client_id, "disabled": disabled }));
    }
    if disabled {
        output::line(&format!(
            "{client_id} is disabled; to revoke its tokens: oauth-storage grants revoke --client {client_id}"
        ))
    } else {
        output::line(&format!("{client_id} is enabled"))
    }
}
