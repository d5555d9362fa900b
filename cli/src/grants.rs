//! `oauth-storage grants`: grants of subjects to clients.

use std::process::ExitCode;

use oauth_storage::grant::Grant;
use oauth_storage::{GrantStorage as _, PgStorage};
use serde_json::json;
use uuid::Uuid;

use crate::ask;
use crate::context::{Context, answered};
use crate::error::{Error, Result};
use crate::list::{ListArgs, Listed, PAGE};
use crate::output;

/// List and revoke grants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List live grants, those of a subject with the newest first.
    List {
        #[command(flatten)]
        filter: ListFilter,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Revoke grants, with all their tokens and codes.
    Revoke {
        #[command(flatten)]
        target: RevokeTarget,
        /// Do not ask. One grant is revoked without a question.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true)]
pub(crate) struct ListFilter {
    /// The resource owner.
    #[arg(long)]
    subject: Option<String>,
    /// The client.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RevokeTarget {
    /// The grant.
    #[arg(long, value_name = "GRANT_ID", required_unless_present_any = ["subject", "client"])]
    grant: Option<Uuid>,
    /// Every grant of this resource owner; with --client, of the two.
    #[arg(long, conflicts_with = "grant")]
    subject: Option<String>,
    /// Every grant of this client.
    #[arg(long, value_name = "CLIENT_ID", conflicts_with = "grant")]
    client: Option<String>,
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    match command {
        Command::List { filter, list } => {
            let grants = match &filter.subject {
                Some(subject) => of_subject(&storage, subject, filter.client.as_ref(), list).await,
                None => of_client(&storage, filter.client.as_deref(), list, context).await,
            };
            show(&grants?, context)?;
        }
        Command::Revoke { target, yes } => revoke(&storage, target, *yes, context).await?,
    }
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn of_subject(
    storage: &PgStorage,
    subject: &str,
    client: Option<&String>,
    list: &ListArgs,
) -> Result<Listed<Grant>> {
    list.read(async |after, limit| {
        // Few grants of a page may be those of the client.
        let limit = if client.is_some() { PAGE } else { limit };
        let mut page = storage.list_grants(subject, after, limit).await?;
        page.grants.retain(|grant| client.is_none_or(|client| *client == grant.client_id));
        Ok((page.grants, page.next))
    })
    .await
}

/// One call for each grant: the storage has none for several, and the columns are its own affair.
async fn of_client(
    storage: &PgStorage,
    client: Option<&str>,
    list: &ListArgs,
    context: &Context,
) -> Result<Listed<Grant>> {
    let mut connection = context.read_only(context.connect_options()?).await?;
    list.read(async |after: Option<Uuid>, limit| {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = sqlx::query_file_scalar!(
            "src/sql/list_grants_of_client.sql",
            client.unwrap_or_default(),
            after,
            rows
        )
        .fetch_all(&mut connection);
        let found = answered(found).await?;
        let next = found.last().copied().filter(|_| found.len() == limit);
        let mut grants = Vec::with_capacity(found.len());
        for grant_id in found {
            grants.extend(storage.get_grant(grant_id).await?);
        }
        Ok((grants, next))
    })
    .await
}

fn show(grants: &Listed<Grant>, context: &Context) -> Result<()> {
    if context.is_json() {
        output::json(&grants.rows)?;
    } else {
        let mut table = output::table(&["GRANT", "CLIENT", "SUBJECT", "SCOPE", "GRANTED", "ENDS"]);
        for grant in &grants.rows {
            table.add_row([
                grant.grant_id.to_string(),
                grant.client_id.clone(),
                grant.subject.clone().unwrap_or_else(|| "-".into()),
                grant.scope.to_string(),
                output::time(grant.granted_at),
                output::time(grant.expires_at),
            ]);
        }
        output::print(&table)?;
    }
    grants.say_if_more(|grant| grant.grant_id.to_string());
    Ok(())
}

async fn revoke(
    storage: &PgStorage,
    target: &RevokeTarget,
    yes: bool,
    context: &Context,
) -> Result<()> {
    let ask = |whose: &str| ask::confirm(&format!("Revoke every grant of {whose}?"), yes);
    let revoked = match (target.grant, &target.subject, &target.client) {
        (Some(grant), ..) => {
            if !storage.revoke_grant(grant).await? {
                return Err(Error::NotFound(format!("there is no live grant {grant}")));
            }
            1
        }
        (_, Some(subject), Some(client)) => {
            ask(&format!("the subject {subject} for the client {client}"))?;
            output::waiting("revoking", storage.revoke_grants_of(subject, client)).await?
        }
        (_, Some(subject), None) => {
            ask(&format!("the subject {subject}"))?;
            output::waiting("revoking", storage.revoke_subject(subject)).await?
        }
        (_, None, Some(client)) => {
            ask(&format!("the client {client}"))?;
            output::waiting("revoking", storage.revoke_client(client)).await?
        }
        (None, None, None) => {
            return Err(Error::Usage("name a grant, a subject or a client".into()));
        }
    };
    if context.is_json() {
        return output::json(&json!({ "revoked_grants": revoked }));
    }
    output::line(&format!("{} revoked", output::count(revoked, "grant")))
}
