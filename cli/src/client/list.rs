//! `client list`: a page of clients.

use oauth_storage::ClientRegistry as _;

use super::declaration::full;
use super::show::state;
use crate::context::Context;
use crate::error::Result;
use crate::list::ListArgs;
use crate::output;

/// List the clients, in the order of their identifiers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    list: ListArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let read = args.list.read(async |after: Option<String>, limit| {
        let page = storage.list_clients(after.as_deref(), limit).await?;
        let next = page.last().filter(|_| page.len() == limit);
        let next = next.map(|client| client.client_id.clone());
        Ok((page, next))
    });
    let clients = read.await?;
    storage.close().await;
    if context.is_json() {
        output::json(&clients.rows.iter().map(full).collect::<Vec<_>>())?;
    } else {
        let mut table = output::table(&["CLIENT", "NAME", "STATE", "AUTH METHOD", "LAST USED"]);
        for client in &clients.rows {
            table.add_row([
                client.client_id.clone(),
                client.metadata.details.client_name.clone().unwrap_or_else(|| "-".into()),
                state(client),
                client.metadata.token_endpoint_auth_method.to_string(),
                client.last_used_at.map_or_else(|| "-".into(), output::time),
            ]);
        }
        output::print(&table)?;
    }
    clients.say_if_more(|client| client.client_id.clone());
    Ok(())
}
