use std::io::{BufWriter, Write as _, stdout};

use super::declaration::portable;
use super::list::Pages;
use crate::context::Context;
use crate::error::Result;
use crate::output;

/// Write all clients as JSON, one a line, for client import.
///
/// Secrets and registration access tokens are not exported, because the database has only their hashes, nor are
/// clients that are being deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) async fn run(_args: &Args, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let mut pages = Pages::new(&storage, None);
    let mut out = BufWriter::new(stdout());
    let (mut exported, mut with_secret, mut deleted) = (0, 0, 0);
    while let Some(page) = pages.next().await? {
        for client in page {
            if client.deleted_at.is_some() {
                deleted += 1;
                continue;
            }
            exported += 1;
            with_secret += u64::from(client.metadata.token_endpoint_auth_method.uses_secret());
            serde_json::to_writer(&mut out, &portable(&client))?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    storage.close().await;
    let mut told = output::count(exported, "client");
    if with_secret > 0 {
        told += &format!("; not exported: the secrets of {}", output::count(with_secret, "client"));
    }
    if deleted > 0 {
        told += &format!("; left out: {} being deleted", output::count(deleted, "client"));
    }
    eprintln!("{told}");
    Ok(())
}
