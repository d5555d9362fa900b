//! `oauth-storage consents`: remembered consent of subjects for clients.

use std::process::ExitCode;

use oauth_storage::ConsentStorage as _;
use oauth_storage::consent::Consent;
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::list::{Listed, SubjectListArgs};
use crate::output;

/// List and withdraw remembered consent.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the consents of a subject, in the order of the clients.
    List(SubjectListArgs),
    /// Withdraw the consent of a subject for a client, and revoke every grant of the two.
    Withdraw {
        /// The user.
        #[arg(long)]
        subject: String,
        /// The client.
        #[arg(long, value_name = "CLIENT_ID")]
        client: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    match command {
        Command::List(SubjectListArgs { subject, list }) => {
            let read = list.read(async |after: Option<String>, limit| {
                let page = storage.list_consents(subject, after.as_deref(), limit).await?;
                let next = page.last().filter(|_| page.len() == limit);
                let next = next.map(|consent| consent.client_id.clone());
                Ok((page, next))
            });
            show(&read.await?, context)?;
        }
        Command::Withdraw { subject, client, yes } => {
            let question = format!(
                "Withdraw the consent of the subject {subject} for the client {client}, and revoke \
                 every grant of the two?"
            );
            ask::confirm(&question, *yes)?;
            let done = storage.withdraw_consent(subject, client).await?;
            if !done.withdrawn && done.revoked_grants == 0 {
                return Err(Error::NotFound(format!(
                    "{subject} has no consent and no grant for {client}"
                )));
            }
            if context.is_json() {
                output::json(&json!({
                    "withdrawn": done.withdrawn, "revoked_grants": done.revoked_grants,
                }))?;
            } else {
                let grants = output::count(done.revoked_grants, "grant");
                output::line(&format!("withdrawn, {grants} revoked"))?;
            }
        }
    }
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show(consents: &Listed<Consent>, context: &Context) -> Result<()> {
    if context.is_json() {
        output::json(&consents.rows)?;
    } else {
        let mut table = output::table(&["CLIENT", "SCOPE", "SINCE", "LAST CHANGE"]);
        for consent in &consents.rows {
            table.add_row([
                consent.client_id.clone(),
                consent.scope.to_string(),
                output::time(consent.granted_at),
                output::time(consent.updated_at),
            ]);
        }
        output::print(&table)?;
    }
    consents.say_if_more(|consent| consent.client_id.clone());
    Ok(())
}
