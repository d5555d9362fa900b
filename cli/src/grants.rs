//! `oauth-storage grants`: who allowed what to whom.

use std::process::ExitCode;

use oauth_storage::grant::Grant;
use oauth_storage::{GrantStorage as _, PgStorage};
use serde_json::json;
use uuid::Uuid;

use crate::ask;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;

/// Lists and revokes grants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List live grants, those of a subject with the newest first.
    List {
        #[command(flatten)]
        of: Of,
        /// The most that are listed.
        #[arg(long, value_name = "N", default_value = "100")]
        limit: u16,
    },
    /// Revoke grants, with all their tokens and codes.
    Revoke {
        /// The grant.
        #[arg(long = "grant", value_name = "GRANT_ID", required_unless_present_any = ["subject", "client"])]
        grant: Option<Uuid>,
        #[command(flatten)]
        of: Whose,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true)]
pub(crate) struct Of {
    /// The resource owner.
    #[arg(long)]
    subject: Option<String>,
    /// The client.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Whose {
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
        Command::List { of, limit } => {
            let grants = list(&storage, context, of, usize::from(*limit)).await?;
            show(&grants, context)?;
        }
        Command::Revoke { grant, of, yes } => revoke(&storage, *grant, of, *yes, context).await?,
    }
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn list(storage: &PgStorage, context: &Context, of: &Of, limit: usize) -> Result<Vec<Grant>> {
    let mut grants = Vec::new();
    if let Some(subject) = &of.subject {
        let mut after = None;
        while grants.len() < limit {
            let page = storage.list_grants(subject, after, limit.min(1_000)).await?;
            let wanted = |own: &Grant| of.client.as_ref().is_none_or(|id| *id == own.client_id);
            grants.extend(page.grants.into_iter().filter(wanted));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        grants.truncate(limit);
        return Ok(grants);
    }
    let client = of.client.as_deref().unwrap_or_default();
    let mut connection = context.read_only(context.connect_options()?).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = sqlx::query_file_scalar!("src/sql/list_grants_of_client.sql", client, limit)
        .fetch_all(&mut connection)
        .await?;
    for grant_id in found {
        grants.extend(storage.get_grant(grant_id).await?);
    }
    Ok(grants)
}

fn show(grants: &[Grant], context: &Context) -> Result<()> {
    if context.is_json() {
        return output::json(&grants);
    }
    let mut table = output::table(&["GRANT", "CLIENT", "SUBJECT", "SCOPE", "GRANTED", "ENDS"]);
    for own in grants {
        table.add_row([
            own.grant_id.to_string(),
            own.client_id.clone(),
            own.subject.clone().unwrap_or_else(|| "-".into()),
            own.scope.to_string(),
            output::time(own.granted_at),
            output::time(own.expires_at),
        ]);
    }
    output::print(&table)
}

async fn revoke(
    storage: &PgStorage,
    grant: Option<Uuid>,
    of: &Whose,
    yes: bool,
    context: &Context,
) -> Result<()> {
    let revoked = match (grant, &of.subject, &of.client) {
        (Some(grant), ..) => {
            if !storage.revoke_grant(grant).await? {
                return Err(Error::NotFound(format!("there is no live grant {grant}")));
            }
            1
        }
        (_, Some(subject), Some(client)) => storage.revoke_grants_of(subject, client).await?,
        (_, Some(subject), None) => {
            ask::confirm(&format!("Revoke every grant of the subject {subject}?"), yes)?;
            output::waiting("revoking", storage.revoke_subject(subject)).await?
        }
        (_, None, Some(client)) => {
            ask::confirm(&format!("Revoke every grant of the client {client}?"), yes)?;
            output::waiting("revoking", storage.revoke_client(client)).await?
        }
        (None, None, None) => {
            return Err(Error::Usage("name a grant, a subject or a client".into()));
        }
    };
    if context.is_json() {
        return output::json(&json!({ "revoked_grants": revoked }));
    }
    println!("{} revoked", output::count(revoked, "grant"));
    Ok(())
}
