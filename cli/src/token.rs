//! `oauth-storage token`: the state of a token.

use std::io::{BufRead as _, IsTerminal as _, stdin};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use oauth_storage::Secret;
use serde::Serialize;
use uuid::Uuid;

use crate::ask;
use crate::context::{Context, answered};
use crate::error::{Error, Result};
use crate::output;

/// Inspect tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a token: kind, state, grant, client, subject, scope and times.
    ///
    /// The token is read from standard input, so that it is in no history and no list of processes. It is not
    /// printed, and nothing is changed.
    Inspect,
}

#[derive(Serialize)]
struct Found {
    kind: String,
    state: String,
    grant_id: Uuid,
    client_id: String,
    subject: Option<String>,
    scope: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// The thumbprint of the DPoP key (RFC 9449 6.1).
    jkt: Option<String>,
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    let Command::Inspect = command;
    let token = read()?;
    let digest = token.digest();
    let (head, tail) = digest.as_bytes().split_at(16);
    let halves = [head, tail].map(|half| Uuid::from_slice(half).unwrap_or_default());
    let mut connection = context.read_only(context.connect_options()?).await?;
    let found = sqlx::query_file_as!(Found, "src/sql/find_token.sql", halves[0], halves[1])
        .fetch_optional(&mut connection);
    let found = answered(found).await?.ok_or_else(|| {
        Error::NotFound("no such token: never issued here, or expired and purged".into())
    })?;
    if context.is_json() {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::fields();
    table.add_row(["kind", &found.kind.replace('_', " ")]);
    table.add_row(["state", &found.state]);
    table.add_row(["grant", &found.grant_id.to_string()]);
    table.add_row(["client", &found.client_id]);
    table.add_row(["subject", found.subject.as_deref().unwrap_or("-")]);
    table.add_row(["scope", &found.scope]);
    table.add_row(["issued", &output::time(found.issued_at)]);
    table.add_row(["ends", &output::time(found.expires_at)]);
    table.add_row(["bound to", found.jkt.as_deref().unwrap_or("-")]);
    output::print(&table)?;
    Ok(ExitCode::SUCCESS)
}

fn read() -> Result<Secret> {
    let token = if stdin().is_terminal() {
        // Not shown while it is typed or pasted.
        ask::secret("Token: ")?.expose().to_owned()
    } else {
        let mut line = String::new();
        stdin().lock().read_line(&mut line)?;
        line
    };
    match token.trim() {
        "" => Err(Error::Usage("write the token to standard input".into())),
        token => Ok(Secret::new(token)),
    }
}
