//! `oauth-storage user`: the users of the table `user_account`.

use std::io::{IsTerminal as _, stdin};
use std::process::ExitCode;

use oauth_storage::Secret;
use oauth_storage::postgres::NewUser;
use serde_json::json;
use uuid::Uuid;

use crate::ask;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output;

/// Create and change users with a password. Not for servers that bring users of their own.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Create a user. The password is asked for, or read from standard input.
    Create {
        /// The name that the user types.
        username: String,
        /// The stable identifier that tokens carry (sub); a new UUID by default.
        #[arg(long)]
        subject: Option<String>,
    },
    /// Set a new password, which is asked for, or read from standard input. Sessions and grants stay.
    SetPassword {
        /// The name that the user types.
        username: String,
    },
    /// Disable a user, who can no longer sign in. Sessions and grants stay.
    Disable {
        /// The name that the user types.
        username: String,
    },
    /// Enable a disabled user again.
    Enable {
        /// The name that the user types.
        username: String,
    },
}

pub(crate) async fn run(command: &Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Create { username, subject } => {
            create(username, subject.as_deref(), context).await?;
        }
        Command::SetPassword { username } => {
            let password = new_password()?;
            let storage = context.storage().await?;
            let is_found = storage.password_users().set_password(username, password).await?;
            storage.close().await;
            report(is_found, username, context, "has a new password", json!({}))?;
        }
        Command::Disable { username } => set_disabled(username, true, context).await?,
        Command::Enable { username } => set_disabled(username, false, context).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(username: &str, subject: Option<&str>, context: &Context) -> Result<()> {
    let subject = subject.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let password = new_password()?;
    let storage = context.storage().await?;
    let user = storage.password_users().create(NewUser::new(username, subject, password)).await?;
    storage.close().await;
    if context.is_json() {
        return output::json(&json!({ "username": username, "subject": user.subject }));
    }
    output::line(&format!("{username} is created, with the subject {}", user.subject))
}

async fn set_disabled(username: &str, disabled: bool, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let is_found = storage.password_users().set_disabled(username, disabled).await?;
    storage.close().await;
    let text = if disabled {
        "is disabled; sessions and grants stay: oauth-storage sessions end --all and \
         oauth-storage grants revoke, each with --subject"
    } else {
        "is enabled"
    };
    report(is_found, username, context, text, json!({ "disabled": disabled }))
}

fn report(
    is_found: bool,
    username: &str,
    context: &Context,
    text: &str,
    mut body: serde_json::Value,
) -> Result<()> {
    if !is_found {
        return Err(Error::NotFound(format!("there is no user {username:?}")));
    }
    if context.is_json() {
        body["username"] = username.into();
        return output::json(&body);
    }
    output::line(&format!("{username} {text}"))
}

/// Asks for a password twice, without an echo. Without a terminal, reads a line of standard input.
fn new_password() -> Result<Secret> {
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().read_line(&mut line)?;
        let end = line.trim_end_matches(['\r', '\n']).len();
        line.truncate(end);
        if line.is_empty() {
            return Err(Error::Usage("no password; write it to standard input".into()));
        }
        return Ok(Secret::new(line));
    }
    let password = ask::secret("Password: ")?;
    if ask::secret("Again: ")? != password {
        return Err(Error::Usage("the passwords differ; nothing was changed".into()));
    }
    Ok(password)
}
