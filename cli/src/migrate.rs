//! `oauth-storage migrate` and `status`: the schema.

use std::process::ExitCode;

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Applies the pending migrations of the schema oauth_storage.
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
    if args.dry_run && !context.is_json() {
        for own in &pending {
            println!("-- {} {}\n{}", own.version, own.description, own.sql.trim_end());
        }
    } else if !args.dry_run {
        storage.migrate().await?;
    }
    storage.close().await;
    if context.is_json() {
        let list = pending.iter().map(|own| {
            json!({ "version": own.version, "description": own.description, "applied": !args.dry_run })
        });
        output::json(&list.collect::<Vec<_>>())?;
    } else if !args.dry_run {
        for own in &pending {
            println!("applied {} {}", own.version, own.description);
        }
        println!("the schema is up to date");
    }
    Ok(ExitCode::SUCCESS)
}
