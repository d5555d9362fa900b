//! `oauth-storage consents`: what subjects allowed clients.

use std::process::ExitCode;

use oauth_storage::ConsentStorage as _;
use serde_json::json;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;

/// Lists and withdraws remembered consent.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the consents of a subject, in the order of the clients.
    List {
        /// The user.
        #[arg(long)]
        subject: String,
        /// The most that are listed.
        #[arg(long, value_name = "N", default_value = "100")]
        limit: u16,
    },
    /// Withdraw the consent of a subject for a client, and revoke every grant of the two.
    Withdraw {
        /// The user.
        #[arg(long)]
        subject: String,
        /// The client.
        #[arg(long, value_name = "CLIENT_ID")]
        client: String,
    },
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    match command {
        Command::List { subject, limit } => {
            let consents = storage.list_consents(subject, None, usize::from(*limit)).await?;
            if context.is_json() {
                output::json(&consents)?;
            } else {
                let mut table = output::table(&["CLIENT", "SCOPE", "SINCE", "LAST CHANGE"]);
                for own in consents {
                    table.add_row([
                        own.client_id,
                        own.scope.to_string(),
                        output::time(own.granted_at),
                        output::time(own.updated_at),
                    ]);
                }
                output::print(&table)?;
            }
        }
        Command::Withdraw { subject, client } => {
            let done = storage.withdraw_consent(subject, client).await?;
            if !done.withdrawn && done.revoked_grants == 0 {
                return Err(Error::NotFound(format!("{subject} allowed {client} nothing")));
            }
            if context.is_json() {
                output::json(&json!({
                    "withdrawn": done.withdrawn, "revoked_grants": done.revoked_grants,
                }))?;
            } else {
                println!("withdrawn, {} revoked", output::count(done.revoked_grants, "grant"));
            }
        }
    }
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}
