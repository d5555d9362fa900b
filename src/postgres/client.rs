//! [`ClientStorage`] and [`ClientRegistry`] for PostgreSQL.

mod delete;
mod ensure;
mod find;
mod row;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::types::Json;

use self::row::ClientRow;
use crate::check::{check_client_id, check_limit};
use crate::client::secret::{
    HashedSecret, MAX_PREVIOUS_SECRETS, generate_client_id, hash_client_secret,
    new_registration_access_token,
};
use crate::client::{
    Client, ClientDetails, ClientMetadata, ClientRegistry, ClientSecret, ClientSecretRotation,
    NewClient, RegisteredClient,
};
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::telemetry::observe;
use crate::secret::Secret;
use crate::settings::micros;

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

    async fn ensure_client(&self, client: NewClient) -> Result<Client> {
        observe!(self, ensure_client on client).run(self.declare(client)).await
    }

    async fn get_registration(
        &self,
        client_id: &str,
        registration_access_token: &Secret,
    ) -> Result<Option<Client>> {
        observe!(self, get_registration on client, client_id)
            .run(self.find_registration(client_id, registration_access_token))
            .await
    }

    async fn purge_clients(&self, unused_for: Duration) -> Result<u64> {
        observe!(self, purge_clients on client).run(self.delete_unused_clients(unused_for)).await
    }
}

impl<C: Connections> PgStorage<C> {
    async fn insert_client(&self, client: NewClient) -> Result<RegisteredClient> {
        client.check()?;
        let metadata = client.metadata;
        let client_id = match client.client_id {
            Some(client_id) => client_id,
            None => generate_client_id()?,
        };
        let (token, token_hash) = match client.registration_access_token {
            true => Some(new_registration_access_token()?).unzip(),
            false => (None, None),
        };
        let (shown, hash) = new_secret(&metadata, &client.client_secret).await?;
        let mut call = self.connections.begin(Effect::Write).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    ClientRow,
                    "src/postgres/sql/register_client.sql",
                    client_id,
                    hash,
                    client.client_secret_expires_in.map(micros),
                    metadata.token_endpoint_auth_method.as_str(),
                    &metadata.redirect_uris,
                    &names(&metadata.grant_types),
                    &names(&metadata.response_types),
                    metadata.scope.as_str(),
                    Json(&metadata.details) as _,
                    client.expires_in.map(micros),
                    token_hash,
                )
                .fetch_optional(connection)
            })
            .await?;
        let row = row.ok_or(Error::invalid("client_id", InvalidReason::Duplicate))?;
        Ok(RegisteredClient::new(row.into_client()?)
            .with_client_secret(shown)
            .with_registration_access_token(token))
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
        Ok(Some(RegisteredClient::new(row.into_client()?).with_client_secret(shown)))
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
