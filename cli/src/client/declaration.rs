//! A client as a JSON object: its metadata with the members of a registration response.

use chrono::{DateTime, Utc};
use oauth_storage::client::{Client, ClientSecret, RegisteredClient};
use oauth_storage::error::InvalidReason;
use oauth_storage::{ClientMetadata, Error, Secret};
use serde_json::{Map, Value, json};

/// The members that another database gives anew.
const IGNORED: [&str; 7] = [
    "client_id_issued_at",
    "client_secret_expires_at",
    "updated_at",
    "deleted_at",
    "last_used_at",
    "registration_access_token",
    "registration_client_uri",
];

/// A client to register.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) client_id: Option<String>,
    /// The origin of the secret, if one is given.
    pub(crate) client_secret: Option<ClientSecret>,
    pub(crate) metadata: ClientMetadata,
    pub(crate) is_disabled: bool,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Declaration {
    /// Takes the members of a declaration out of the metadata.
    pub(crate) fn from_json(mut members: Map<String, Value>) -> Result<Self, Error> {
        members.retain(|name, _| !IGNORED.contains(&name.as_str()));
        let client_id = text(&mut members, "client_id")?;
        let secret = text(&mut members, "client_secret")?;
        let hash = text(&mut members, "client_secret_hash")?;
        let client_secret = match (secret, hash) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("client_secret_hash", InvalidReason::NotAllowed));
            }
            (Some(secret), None) => Some(ClientSecret::Chosen(Secret::new(secret))),
            (None, hash) => hash.map(ClientSecret::Hashed),
        };
        let is_disabled = text(&mut members, "disabled_at")?.is_some();
        let expires_at = text(&mut members, "expires_at")?.map(|time| time.parse()).transpose();
        let expires_at =
            expires_at.map_err(|_| Error::invalid("expires_at", InvalidReason::Unsupported))?;
        let metadata = ClientMetadata::from_json(Value::Object(members))?;
        metadata.check()?;
        Ok(Self { client_id, client_secret, metadata, is_disabled, expires_at })
    }
}

/// Takes the metadata out of what `show` writes, for a change.
pub(crate) fn metadata(
    client_id: &str,
    mut members: Map<String, Value>,
) -> Result<ClientMetadata, Error> {
    members.retain(|name, _| {
        !IGNORED.contains(&name.as_str()) && name != "disabled_at" && name != "expires_at"
    });
    for name in ["client_secret", "client_secret_hash"] {
        if members.contains_key(name) {
            return Err(Error::invalid(name, InvalidReason::NotAllowed));
        }
    }
    ClientMetadata::from_json_of(client_id, Value::Object(members))
}

fn text(members: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Error> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::invalid(name, InvalidReason::Unsupported)),
    }
}

/// A client as `show` and `list` write it: a registration response, and the members of this storage.
pub(crate) fn full(client: &Client) -> Map<String, Value> {
    let mut members = RegisteredClient::new(client.clone()).registration_response();
    if client.metadata.token_endpoint_auth_method.uses_secret() {
        let expires_at = client.client_secret_expires_at.map_or(0, |at| at.timestamp());
        members.insert("client_secret_expires_at".into(), expires_at.into());
    }
    members.insert("updated_at".into(), json!(client.updated_at));
    members.insert("disabled_at".into(), json!(client.disabled_at));
    members.insert("deleted_at".into(), json!(client.deleted_at));
    members.insert("expires_at".into(), json!(client.expires_at));
    members.insert("last_used_at".into(), json!(client.last_used_at));
    members
}

/// A client as `export` writes it and `import` reads it.
pub(crate) fn portable(client: &Client) -> Map<String, Value> {
    let mut members = RegisteredClient::new(client.clone()).registration_response();
    members.remove("client_id_issued_at");
    if let Some(at) = client.disabled_at {
        members.insert("disabled_at".into(), json!(at));
    }
    if let Some(at) = client.expires_at {
        members.insert("expires_at".into(), json!(at));
    }
    members
}
