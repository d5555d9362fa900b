use oauth_storage::client::Client;
use oauth_storage::{ClientRegistry as _, PgStorage};

use super::declaration::full;
use super::show::state;
use crate::context::Context;
use crate::error::Result;
use crate::output;

/// The most clients of one query.
const PAGE: usize = 1_000;

/// List the clients, in the order of their identifiers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Start after this client.
    #[arg(long, value_name = "CLIENT_ID")]
    after: Option<String>,
    /// The most that are listed.
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u32,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let limit = args.limit as usize;
    let mut clients: Vec<Client> = Vec::new();
    // One more than is shown says whether there are more.
    let mut pages = Pages::new(&storage, args.after.clone());
    while clients.len() <= limit
        && let Some(page) = pages.next().await?
    {
        clients.extend(page);
    }
    storage.close().await;
    let has_more = clients.len() > limit;
    clients.truncate(limit);
    if context.is_json() {
        return output::json(&clients.iter().map(full).collect::<Vec<_>>());
    }
    let mut table = output::table(&["CLIENT", "NAME", "STATE", "AUTH METHOD", "LAST USED"]);
    for own in &clients {
        table.add_row([
            own.client_id.clone(),
            own.metadata.details.client_name.clone().unwrap_or_else(|| "-".into()),
            state(own),
            own.metadata.token_endpoint_auth_method.to_string(),
            own.last_used_at.map_or_else(|| "-".into(), output::time),
        ]);
    }
    output::print(&table)?;
    if let Some(last) = clients.last().filter(|_| has_more) {
        eprintln!("There are more: --after {}", last.client_id);
    }
    Ok(())
}

/// All clients, a page at a time.
pub(super) struct Pages<'a> {
    storage: &'a PgStorage,
    after: Option<String>,
    is_done: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(storage: &'a PgStorage, after: Option<String>) -> Self {
        Self { storage, after, is_done: false }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<Client>>> {
        if self.is_done {
            return Ok(None);
        }
        let page = self.storage.list_clients(self.after.as_deref(), PAGE).await?;
        self.is_done = page.len() < PAGE;
        self.after = page.last().map(|own| own.client_id.clone());
        Ok(Some(page))
    }
}
