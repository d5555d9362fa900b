//! `client show`: all about a client.

use oauth_storage::ClientRegistry as _;
use oauth_storage::client::Client;
use serde_json::Value;

use super::declaration::full;
use super::not_found;
use crate::context::Context;
use crate::error::Result;
use crate::output;

pub(super) async fn run(client_id: &str, context: &Context) -> Result<()> {
    let storage = context.storage().await?;
    let client = storage.read_client(client_id).await?;
    storage.close().await;
    print(&client.ok_or_else(|| not_found(client_id))?, context)
}

/// Writes everything about a client.
pub(super) fn print(client: &Client, context: &Context) -> Result<()> {
    let members = full(client);
    if context.is_json() {
        return output::json(&members);
    }
    let mut table = output::fields();
    table.add_row(["client_id", &client.client_id]);
    table.add_row(["state", &state(client)]);
    // The remaining members are in the state and the times below.
    let metadata = members.iter().filter(|(name, _)| {
        *name != "client_id" && !name.ends_with("_at") && !is_empty(members.get(*name))
    });
    for (name, value) in metadata {
        let value = match value {
            Value::Array(values) => values.iter().map(line).collect::<Vec<_>>().join("\n"),
            other => line(other),
        };
        table.add_row([name, &value]);
    }
    for (name, at) in [
        ("registered", Some(client.client_id_issued_at)),
        ("changed", Some(client.updated_at)),
        ("last used", client.last_used_at),
        ("secret expires", client.client_secret_expires_at),
        ("registration expires", client.expires_at),
    ] {
        if let Some(at) = at {
            table.add_row([name, &output::time(at)]);
        }
    }
    output::print(&table)
}

fn is_empty(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value == "" || value.as_array().is_some_and(Vec::is_empty))
}

fn line(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn state(client: &Client) -> String {
    match (client.deleted_at, client.disabled_at) {
        (Some(_), _) => "being deleted".into(),
        (None, Some(at)) => format!("disabled {}", output::time(at)),
        (None, None) => match client.expires_at {
            Some(at) if output::is_past(at) => "expired".into(),
            _ => "enabled".into(),
        },
    }
}
