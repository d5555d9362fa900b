//! [`ClientStorage`] and [`ClientRegistry`] for PostgreSQL.

mod delete;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::check::{check_client_id, check_limit};
use crate::client::secret::{
    HashedSecret, MAX_PREVIOUS_SECRETS, generate_client_id, hash_client_secret,
    verify_client_secret,
};
use crate::client::{
    Client, ClientDetails, ClientMetadata, ClientRegistry, ClientSecret, ClientSecretRotation,
    ClientStorage, NewClient, RegisteredClient,
};
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::error::Effect;
use crate::postgres::telemetry::observe;
use crate::postgres::token::by_position;
use crate::request::RequestContext;
use crate::secret::Secret;
use crate::settings::micros;

#[async_trait]
impl<C: Connections> ClientStorage for PgStorage<C> {
    async fn get_client(
        &self,
        _request: &RequestContext,
        client_id: &str,
        client_secret: Option<&Secret>,
    ) -> Result<Option<Client>> {
        observe!(self, get_client on client, client_id)
            .run(async {
                if check_client_id(client_id).is_err() {
                    return Ok(None);
                }
                let found = self.connections.run(FindClient(client_id.to_owned())).await?;
                if let Some(secret) = client_secret {
                    let hashes = found.as_deref().map_or(&[][..], |found| &found.hashes);
                    if !verify_client_secret(secret, hashes).await? {
                        return Ok(None);
                    }
                }
                found.map(|found| found.row.into_client()).transpose()
            })
            .await
    }
}

struct FindClient(String);

struct FoundClient {
    row: ClientRow,
    /// The hashes of the secrets that have not expired.
    hashes: Vec<String>,
}

impl Statement for FindClient {
    /// `None` for a client that is unknown or disabled. Boxed because it is large.
    type Outcome = Option<Box<FoundClient>>;
    const NAME: &'static str = "get_client";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let client_id: Vec<&str> = batch.iter().map(|find| find.0.as_str()).collect();
        let rows = sqlx::query_file!("src/postgres/sql/find_client.sql", &client_id as _,)
            .fetch_all(connection)
            .await?;
        let found = rows.into_iter().map(|row| {
            let hashes = row.client_secret_hash.into_iter();
            let found = FoundClient {
                row: ClientRow {
                    client_id: row.client_id,
                    client_id_issued_at: row.client_id_issued_at,
                    updated_at: row.updated_at,
                    disabled_at: row.disabled_at,
                    deleted_at: row.deleted_at,
                    client_secret_expires_at: row.client_secret_expires_at,
                    token_endpoint_auth_method: row.token_endpoint_auth_method,
                    redirect_uris: row.redirect_uris,
                    grant_types: row.grant_types,
                    response_types: row.response_types,
                    scope: row.scope,
                    details: row.details,
                },
                hashes: hashes.chain(row.previous_client_secret_hashes).collect(),
            };
            (row.position, Box::new(found))
        });
        Ok(by_position(batch.len(), found))
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.client", self.0.clone()))
    }
}

struct ClientRow {
    client_id: String,
    client_id_issued_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
    client_secret_expires_at: Option<DateTime<Utc>>,
    token_endpoint_auth_method: String,
    redirect_uris: Vec<String>,
    grant_types: Vec<String>,
    response_types: Vec<String>,
    scope: String,
    details: Json<ClientDetails>,
}

impl ClientRow {
    fn into_client(self) -> Result<Client> {
        let row = self.client_id.clone();
        let corrupt = |column| {
            let row = row.clone();
            move |error: Error| Error::Corrupt {
                table: "oauth_storage.client",
                column,
                row,
                message: error.to_string(),
            }
        };
        Ok(Client {
            metadata: ClientMetadata {
                redirect_uris: self.redirect_uris,
                token_endpoint_auth_method: self
                    .token_endpoint_auth_method
                    .parse()
                    .map_err(corrupt("token_endpoint_auth_method"))?,
                grant_types: parsed(&self.grant_types).map_err(corrupt("grant_types"))?,
                response_types: parsed(&self.response_types).map_err(corrupt("response_types"))?,
                scope: self.scope.parse().map_err(corrupt("scope"))?,
                details: self.details.0,
            },
            client_id: self.client_id,
            client_id_issued_at: self.client_id_issued_at,
            client_secret_expires_at: self.client_secret_expires_at,
            updated_at: self.updated_at,
            disabled_at: self.disabled_at,
            deleted_at: self.deleted_at,
        })
    }
}

fn parsed<T: std::str::FromStr<Err = Error>>(names: &[String]) -> Result<Vec<T>> {
    names.iter().map(|name| name.parse()).collect()
}

fn names(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Returns the secret to show and the hash to store, if the client uses a secret.
async fn new_secret(
    metadata: &ClientMetadata,
    secret: &ClientSecret,
) -> Result<(Option<Secret>, Option<String>)> {
    if !metadata.token_endpoint_auth_method.uses_secret() {
        return Ok((None, None));
    }
    let HashedSecret { shown, hash } = hash_client_secret(secret).await?;
    Ok((shown, Some(hash)))
}

#[async_trait]
impl<C: Connections> ClientRegistry for PgStorage<C> {
    async fn register_client(&self, client: NewClient) -> Result<RegisteredClient> {
        observe!(self, register_client on client).run(self.insert_client(client)).await
    }

    async fn read_client(&self, client_id: &str) -> Result<Option<Client>> {
        observe!(self, read_client on client, client_id)
            .run(self.find_registered_client(client_id))
            .await
    }

    async fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>> {
        observe!(self, list_clients on client, limit)
            .run(self.list_registered_clients(after, limit))
            .await
    }

    async fn update_client(
        &self,
        client_id: &str,
        metadata: ClientMetadata,
    ) -> Result<Option<Client>> {
        observe!(self, update_client on client, client_id)
            .run(self.replace_metadata(client_id, metadata))
            .await
    }

    async fn rotate_client_secret(
        &self,
        client_id: &str,
        rotation: ClientSecretRotation,
    ) -> Result<Option<RegisteredClient>> {
        observe!(self, rotate_client_secret on client, client_id)
            .run(self.replace_secret(client_id, rotation))
            .await
    }

    async fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool> {
        observe!(self, set_client_disabled on client, client_id, disabled)
            .run(self.update_disabled_at(client_id, disabled))
            .await
    }

    async fn delete_client(&self, client_id: &str) -> Result<bool> {
        observe!(self, delete_client on client, client_id)
            .run(self.delete_client_and_grants(client_id))
            .await
    }
}

impl<C: Connections> PgStorage<C> {
    async fn insert_client(&self, client: NewClient) -> Result<RegisteredClient> {
        client.check()?;
        let NewClient { client_id, metadata, client_secret, client_secret_expires_in } = client;
        let client_id = match client_id {
            Some(client_id) => client_id,
            None => generate_client_id()?,
        };
        let (shown, hash) = new_secret(&metadata, &client_secret).await?;
        let mut call = self.connections.begin(Effect::Write).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    ClientRow,
                    "src/postgres/sql/register_client.sql",
                    client_id,
                    hash,
                    client_secret_expires_in.map(micros),
                    metadata.token_endpoint_auth_method.as_str(),
                    &metadata.redirect_uris,
                    &names(&metadata.grant_types),
                    &names(&metadata.response_types),
                    metadata.scope.as_str(),
                    Json(&metadata.details) as _,
                )
                .fetch_optional(connection)
            })
            .await?;
        let row = row.ok_or(Error::invalid("client_id", InvalidReason::Duplicate))?;
        Ok(RegisteredClient { client: row.into_client()?, client_secret: shown })
    }

    async fn find_registered_client(&self, client_id: &str) -> Result<Option<Client>> {
        if check_client_id(client_id).is_err() {
            return Ok(None);
        }
        let mut call = self.connections.begin(Effect::Read).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(ClientRow, "src/postgres/sql/read_client.sql", client_id,)
                    .fetch_optional(connection)
            })
            .await?;
        row.map(ClientRow::into_client).transpose()
    }

    async fn list_registered_clients(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Client>> {
        let limit = check_limit(limit)?;
        if let Some(after) = after {
            check_client_id(after)?;
        }
        let mut call = self.connections.begin(Effect::Read).await?;
        let rows = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    ClientRow,
                    "src/postgres/sql/list_clients.sql",
                    // The empty string sorts before every client identifier.
                    after.unwrap_or_default(),
                    limit,
                )
                .fetch_all(connection)
            })
            .await?;
        rows.into_iter().map(ClientRow::into_client).collect()
    }

    async fn replace_metadata(
        &self,
        client_id: &str,
        metadata: ClientMetadata,
    ) -> Result<Option<Client>> {
        metadata.check()?;
        if check_client_id(client_id).is_err() {
            return Ok(None);
        }
        let mut call = self.connections.begin(Effect::Write).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    ClientRow,
                    "src/postgres/sql/update_client.sql",
                    client_id,
                    metadata.token_endpoint_auth_method.as_str(),
                    &metadata.redirect_uris,
                    &names(&metadata.grant_types),
                    &names(&metadata.response_types),
                    metadata.scope.as_str(),
                    Json(&metadata.details) as _,
                    metadata.token_endpoint_auth_method.uses_secret(),
                )
                .fetch_optional(connection)
            })
            .await?;
        row.map(ClientRow::into_client).transpose()
    }

    async fn replace_secret(
        &self,
        client_id: &str,
        rotation: ClientSecretRotation,
    ) -> Result<Option<RegisteredClient>> {
        rotation.check()?;
        let Some(client) = self.find_registered_client(client_id).await? else { return Ok(None) };
        let not_allowed = Error::invalid("token_endpoint_auth_method", InvalidReason::NotAllowed);
        let (shown, hash) = new_secret(&client.metadata, &rotation.client_secret).await?;
        let Some(hash) = hash else { return Err(not_allowed) };
        let mut call = self.connections.begin(Effect::Write).await?;
        // The client may have changed since it was read; the statement decides.
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    ClientRow,
                    "src/postgres/sql/rotate_client_secret.sql",
                    client_id,
                    hash,
                    rotation.client_secret_expires_in.map(micros),
                    micros(rotation.overlap),
                )
                .fetch_optional(connection)
            })
            .await?;
        // The lookup below needs a connection as well, and must not wait for this one.
        drop(call);
        let Some(row) = row else {
            // It was deleted or lost its secret meanwhile, or two earlier secrets are still valid.
            return match self.find_registered_client(client_id).await? {
                None | Some(Client { deleted_at: Some(_), .. }) => Ok(None),
                Some(client) if client.metadata.token_endpoint_auth_method.uses_secret() => {
                    Err(Error::invalid("overlap", InvalidReason::TooMany(MAX_PREVIOUS_SECRETS)))
                }
                Some(_) => Err(not_allowed),
            };
        };
        Ok(Some(RegisteredClient { client: row.into_client()?, client_secret: shown }))
    }

    async fn update_disabled_at(&self, client_id: &str, disabled: bool) -> Result<bool> {
        if check_client_id(client_id).is_err() {
            return Ok(false);
        }
        let mut call = self.connections.begin(Effect::Write).await?;
        let done = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/set_client_disabled.sql", client_id, disabled,)
                    .execute(connection)
            })
            .await?;
        drop(call);
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.lock_out_client(client_id).await.map_err(Error::after_commit)?;
        Ok(true)
    }
}
