//! `oauth-storage sessions`: sign-ins of users.

use std::process::ExitCode;

use oauth_storage::UserSessionStorage as _;
use oauth_storage::user_session::{SignOut, UserSession};
use serde_json::json;
use uuid::Uuid;

use crate::ask;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::list::{Listed, SubjectListArgs};
use crate::output;

/// List and end the sessions of users.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the live sessions of a subject, the newest first.
    List(SubjectListArgs),
    /// End a session of a subject, or all, with the grants that end with them.
    ///
    /// The clients to notify by back-channel logout are listed; this command does not notify them.
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
        /// Do not ask. One session is ended without a question.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    match command {
        Command::List(SubjectListArgs { subject, list }) => {
            let read = list.read(async |after, limit| {
                let page = storage.list_sessions(subject, after, limit).await?;
                Ok((page.sessions, page.next))
            });
            show(&read.await?, context)?;
        }
        Command::End { subject, sid: Some(sid), .. } => {
            let ended = storage.end_session_of(subject, *sid).await?;
            if ended.sessions.is_empty() {
                return Err(Error::NotFound(format!("{subject} has no session {sid}")));
            }
            report(&ended, context)?;
        }
        Command::End { subject, yes, .. } => {
            ask::confirm(&format!("End every session of the subject {subject}?"), *yes)?;
            report(&storage.end_sessions_of(subject, None).await?, context)?;
        }
    }
    storage.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show(sessions: &Listed<UserSession>, context: &Context) -> Result<()> {
    if context.is_json() {
        let all = sessions.rows.iter().map(|session| {
            json!({
                "sid": session.sid, "subject": session.subject, "created_at": session.created_at,
                "auth_time": session.auth_time, "acr": session.acr, "amr": session.amr,
                "expires_at": session.expires_at, "absolute_expires_at": session.absolute_expires_at,
                "details": session.details,
            })
        });
        output::json(&all.collect::<Vec<_>>())?;
    } else {
        let mut table =
            output::table(&["SESSION", "SIGNED IN", "METHODS", "ENDS", "ENDS AT THE LATEST"]);
        for session in &sessions.rows {
            table.add_row([
                session.sid.to_string(),
                output::time(session.auth_time),
                session.amr.join(" "),
                output::time(session.expires_at),
                output::time(session.absolute_expires_at),
            ]);
        }
        output::print(&table)?;
    }
    sessions.say_if_more(|session| session.sid.to_string());
    Ok(())
}

fn report(ended: &SignOut, context: &Context) -> Result<()> {
    if context.is_json() {
        let sessions = ended.sessions.iter().map(|session| {
            json!({
                "sid": session.sid, "subject": session.subject, "client_ids": session.client_ids,
            })
        });
        return output::json(&json!({
            "sessions": sessions.collect::<Vec<_>>(), "revoked_grants": ended.revoked_grants,
        }));
    }
    let sessions = output::count(ended.sessions.len() as u64, "session");
    let grants = output::count(ended.revoked_grants, "grant");
    output::line(&format!("{sessions} ended, {grants} revoked"))?;
    for session in &ended.sessions {
        for client_id in &session.client_ids {
            output::line(&format!("notify {client_id}: session {} has ended", session.sid))?;
        }
    }
    Ok(())
}
