//! `oauth-storage erase-subject`: the right to erasure.

use std::process::ExitCode;

use oauth_storage::GrantStorage as _;
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Delete a subject: grants with all their tokens, consents, sessions, and the user of the table user_account.
///
/// Backups keep the subject until you delete them. If it fails, run it again: it continues.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The user.
    #[arg(long)]
    subject: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let Args { subject, yes } = args;
    ask::confirm(
        &format!("Delete everything about the subject {subject}? It cannot be undone."),
        *yes,
    )?;
    let storage = context.storage().await?;
    let erased = output::waiting("erasing", storage.erase_subject(subject)).await?;
    storage.close().await;
    if context.is_json() {
        output::json(&json!({ "deleted_grants": erased }))?;
    } else {
        output::line(&format!("{subject} is erased, {} deleted", output::count(erased, "grant")))?;
    }
    Ok(ExitCode::SUCCESS)
}
