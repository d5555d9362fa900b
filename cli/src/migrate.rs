//! `oauth-storage migrate`: the schema.

use std::process::ExitCode;

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Apply the pending migrations of the schema oauth_storage.
///
/// It can be repeated, and run by several at once. The role needs CREATE on the database, or owns the schema.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the SQL and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let storage = context.storage().await?;
    let pending = storage.pending_migrations().await?;
    if !args.dry_run {
        storage.migrate().await?;
    }
    storage.close().await;
    if context.is_json() {
        let list = pending.iter().map(|migration| {
            let mut members = json!({
                "version": migration.version, "description": migration.description,
                "applied": !args.dry_run,
            });
            if args.dry_run {
                members["sql"] = json!(migration.sql);
            }
            members
        });
        output::json(&list.collect::<Vec<_>>())?;
    } else if args.dry_run {
        for migration in &pending {
            let (version, description) = (migration.version, &migration.description);
            output::line(&format!("-- {version} {description}\n{}", migration.sql.trim_end()))?;
        }
    } else {
        for migration in &pending {
            output::line(&format!("applied {} {}", migration.version, migration.description))?;
        }
        output::line("the schema is up to date")?;
    }
    Ok(ExitCode::SUCCESS)
}
