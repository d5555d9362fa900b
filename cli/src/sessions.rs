//! `oauth-storage sessions`: where users are signed in.

use std::process::ExitCode;

use oauth_storage::UserSessionStorage as _;
use oauth_storage::user_session::{SignOut, UserSession};
use serde_json::json;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;

/// Lists and ends the sessions of users.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the live sessions of a subject, the newest first.
    List {
        /// The user.
        #[arg(long)]
        subject: String,
        /// The most that are listed.
        #[arg(long, value_name = "N", default_value = "100")]
        limit: u16,
    },
    /// End a session of a subject, or all, with the grants that end with them.
    ///
    /// The clients that must be told by back-channel logout are listed; this command does not tell them.
    End {
        /// The user.
        #[arg(long)]
        subject: String,
        /// The session.
        #[arg(long, required_unless_present = "all")]
        sid: Option<Uuid>,
        /// Every session.
        #[arg(long, conflicts_with = "sid")]
        all: bool,
    },
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    match command {
        Command::List { subject, limit } => {
            let page = storage.list_sessions(subject, None, usize::from(*limit)).await?;
            list(&page.sessions, context)?;
        }
        Command::End { subject, sid: Some(sid), .. } => {
            let ended = storage.end_session_of(subject, *sid).await?;
            if ended.sessions.is_empty() {
                return Err(Error::NotFound(format!("{subject} has no session {sid}")));
            }
            report(&ended, context)?;
        }
        Command::End { subject, .. } => {
            report(&storage.end_sessions_of(subject, None).await?, context)?;
        }
    }
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}

fn list(sessions: &[UserSession], context: &Context) -> Result<()> {
    if context.is_json() {
        let all = sessions.iter().map(|own| {
            json!({
                "sid": own.sid, "subject": own.subject, "created_at": own.created_at,
                "auth_time": own.auth_time, "acr": own.acr, "amr": own.amr,
                "expires_at": own.expires_at, "absolute_expires_at": own.absolute_expires_at,
                "details": own.details,
            })
        });
        return output::json(&all.collect::<Vec<_>>());
    }
    let mut table =
        output::table(&["SESSION", "SIGNED IN", "METHODS", "ENDS", "ENDS AT THE LATEST"]);
    for own in sessions {
        table.add_row([
            own.sid.to_string(),
            output::time(own.auth_time),
            own.amr.join(" "),
            output::time(own.expires_at),
            output::time(own.absolute_expires_at),
        ]);
    }
    output::print(&table)
}

fn report(ended: &SignOut, context: &Context) -> Result<()> {
    if context.is_json() {
        let sessions = ended.sessions.iter().map(
            |own| json!({ "sid": own.sid, "subject": own.subject, "client_ids": own.client_ids }),
        );
        return output::json(&json!({
            "sessions": sessions.collect::<Vec<_>>(), "revoked_grants": ended.revoked_grants,
        }));
    }
    let sessions = u64::try_from(ended.sessions.len()).unwrap_or(u64::MAX);
    let (sessions, grants) =
        (output::count(sessions, "session"), output::count(ended.revoked_grants, "grant"));
    println!("{sessions} ended, {grants} revoked");
    for own in &ended.sessions {
        for client_id in &own.client_ids {
            println!("tell {client_id} that {} has ended", own.sid);
        }
    }
    Ok(())
}
