use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryStorage;
use super::state::{ClientRow, StoredSecret, after};
use crate::check::{check_client_id, check_limit};
use crate::client::secret::{generate_client_id, hash_client_secret, verify_client_secret};
use crate::client::{
    Client, ClientMetadata, ClientRegistry, ClientSecretRotation, ClientStorage, NewClient,
    RegisteredClient,
};
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::secret::Secret;

#[async_trait]
impl ClientStorage for MemoryStorage {
    async fn get_client(
        &self,
        _request: &RequestContext,
        client_id: &str,
        client_secret: Option<&Secret>,
    ) -> Result<Option<Client>> {
        let found = {
            let state = self.state().await;
            let enabled = |row: &&ClientRow| row.client.disabled_at.is_none();
            let row = state.clients.get(client_id).filter(enabled);
            row.map(|row| (row.client.clone(), row.hashes(state.now())))
        };
        let (client, hashes) = found.map_or((None, Vec::new()), |(c, hashes)| (Some(c), hashes));
        match client_secret {
            // An unknown client costs as much as a wrong secret.
            Some(secret) if !verify_client_secret(secret, &hashes).await? => Ok(None),
            _ => Ok(client),
        }
    }
}

#[async_trait]
impl ClientRegistry for MemoryStorage {
    async fn register_client(&self, client: NewClient) -> Result<RegisteredClient> {
        client.check()?;
        let client_id = match client.client_id {
            Some(client_id) => client_id,
            None => generate_client_id()?,
        };
        let hashed = match client.metadata.token_endpoint_auth_method.uses_secret() {
            true => Some(hash_client_secret(&client.client_secret).await?),
            false => None,
        };

        let mut state = self.state().await;
        let now = state.now();
        if state.clients.contains_key(&client_id) {
            return Err(Error::invalid("client_id", InvalidReason::Duplicate));
        }
        let mut row = ClientRow {
            client: Client {
                client_id: client_id.clone(),
                metadata: client.metadata,
                client_id_issued_at: now,
                client_secret_expires_at: None,
                updated_at: now,
                disabled_at: None,
                deleted_at: None,
            },
            secret: None,
            previous_secrets: Vec::new(),
        };
        let mut client_secret = None;
        if let Some(hashed) = hashed {
            let expires_at = client.client_secret_expires_in.map(|lifetime| after(now, lifetime));
            row.set_secret(Some(StoredSecret { hash: hashed.hash, expires_at }));
            client_secret = hashed.shown;
        }
        let client = row.client.clone();
        state.clients.insert(client_id, row);
        Ok(RegisteredClient { client, client_secret })
    }

    async fn read_client(&self, client_id: &str) -> Result<Option<Client>> {
        Ok(self.state().await.clients.get(client_id).map(|row| row.client.clone()))
    }

    async fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>> {
        check_limit(limit)?;
        after.map_or(Ok(()), check_client_id)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state().await;
        let rows = state.clients.range::<str, _>((start, Bound::Unbounded));
        Ok(rows.take(limit).map(|(_, row)| row.client.clone()).collect())
    }

    async fn update_client(
        &self,
        client_id: &str,
        metadata: ClientMetadata,
    ) -> Result<Option<Client>> {
        metadata.check()?;
        let mut state = self.state().await;
        let now = state.now();
        let Some(row) = state.clients.get_mut(client_id) else { return Ok(None) };
        if !metadata.token_endpoint_auth_method.uses_secret() {
            row.previous_secrets.clear();
            row.set_secret(None);
        }
        row.client.metadata = metadata;
        row.client.updated_at = now;
        Ok(Some(row.client.clone()))
    }

    async fn rotate_client_secret(
        &self,
        client_id: &str,
        rotation: ClientSecretRotation,
    ) -> Result<Option<RegisteredClient>> {
        rotation.check()?;
        let uses_secret =
            |client: &Client| match client.metadata.token_endpoint_auth_method.uses_secret() {
                true => Ok(()),
                false => {
                    Err(Error::invalid("token_endpoint_auth_method", InvalidReason::NotAllowed))
                }
            };
        match self.read_client(client_id).await? {
            Some(client) => uses_secret(&client)?,
            None => return Ok(None),
        }
        let hashed = hash_client_secret(&rotation.client_secret).await?;

        // The client may have been changed or deleted while its secret was hashed.
        let mut state = self.state().await;
        let now = state.now();
        let Some(row) = state.clients.get_mut(client_id) else { return Ok(None) };
        uses_secret(&row.client)?;
        row.rotate_secret(hashed.hash, rotation.client_secret_expires_in, rotation.overlap, now)?;
        let client = row.client.clone();
        Ok(Some(RegisteredClient { client, client_secret: hashed.shown }))
    }

    async fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool> {
        let mut state = self.state().await;
        let now = state.now();
        let Some(row) = state.clients.get_mut(client_id) else { return Ok(false) };
        // Disabling again keeps the original time.
        if disabled != row.client.disabled_at.is_some() {
            row.client.disabled_at = disabled.then_some(now);
            row.client.updated_at = now;
        }
        Ok(true)
    }

    async fn delete_client(&self, client_id: &str) -> Result<bool> {
        let mut state = self.state().await;
        if state.clients.remove(client_id).is_none() {
            return Ok(false);
        }
        state.grants.retain(|_, grant| grant.client_id != client_id);
        Ok(true)
    }
}
