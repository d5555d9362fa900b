//! `client export`: all clients as JSON lines.

use std::io::{BufWriter, Write as _, stdout};

use oauth_storage::ClientRegistry as _;

use super::declaration::portable;
use crate::context::Context;
use crate::error::Result;
use crate::list::PAGE;
use crate::output;

/// Write all clients as JSON, one a line, for client import, with and without --json.
///
/// Secrets and registration access tokens are not exported, because the database has only their hashes, nor are
/// clients that are being deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) async fn run(_args: &Args, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let mut after = None;
    let mut out = BufWriter::new(stdout());
    let (mut exported, mut with_secret, mut deleted) = (0, 0, 0);
    loop {
        let page = storage.list_clients(after.as_deref(), PAGE).await?;
        for client in &page {
            if client.deleted_at.is_some() {
                deleted += 1;
                continue;
            }
            exported += 1;
            with_secret += u64::from(client.metadata.token_endpoint_auth_method.uses_secret());
            writeln!(out, "{}", output::json_text(&portable(client))?)?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.client_id.clone()),
            _ => break,
        }
    }
    out.flush()?;
    storage.close().await;
    let mut message = output::count(exported, "client");
    if with_secret > 0 {
        message +=
            &format!("; not exported: the secrets of {}", output::count(with_secret, "client"));
    }
    if deleted > 0 {
        message += &format!("; left out: {} being deleted", output::count(deleted, "client"));
    }
    eprintln!("{message}");
    Ok(())
}
