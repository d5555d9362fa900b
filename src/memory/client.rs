use std::collections::HashSet;
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStorage;
use super::state::{ClientRow, StoredSecret, after};
use crate::check::{check_client_id, check_limit};
use crate::client::secret::{
    generate_client_id, hash_client_secret, is_registration_access_token,
    new_registration_access_token, verify_client_secret,
};
use crate::client::{
    Client, ClientMetadata, ClientRegistry, ClientSecret, ClientSecretRotation, ClientStorage,
    MIN_UNUSED, NewClient, RegisteredClient,
};
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::secret::Secret;
use crate::settings::MAX_LIFETIME;

/// The resolution of a client's last use.
const DAY: Duration = Duration::from_hours(24);

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
            let now = state.now();
            let row = state.clients.get(client_id).filter(|row| row.is_enabled(now));
            row.map(|row| (row.client.clone(), row.hashes(now)))
        };
        let (client, hashes) = found.map_or((None, Vec::new()), |(c, hashes)| (Some(c), hashes));
        // An unknown client costs as much as a wrong secret.
        if let Some(secret) = client_secret
            && !verify_client_secret(secret, &hashes).await?
        {
            return Ok(None);
        }
        if client.is_some() {
            let mut state = self.state().await;
            let now = state.now();
            if let Some(row) = state.clients.get_mut(client_id) {
                let used_at = row.client.last_used_at;
                if used_at.is_none_or(|used_at| after(used_at, DAY) <= now) {
                    row.client.last_used_at = Some(now);
                }
            }
        }
        Ok(client)
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

        let (token, token_hash) = match client.registration_access_token {
            true => Some(new_registration_access_token()?).unzip(),
            false => (None, None),
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
                expires_at: client.expires_in.map(|lifetime| after(now, lifetime)),
                last_used_at: None,
            },
            secret: None,
            previous_secrets: Vec::new(),
            registration_access_token_hash: token_hash,
        };
        let mut client_secret = None;
        if let Some(hashed) = hashed {
            let expires_at = client.client_secret_expires_in.map(|lifetime| after(now, lifetime));
            row.set_secret(Some(StoredSecret { hash: hashed.hash, expires_at }));
            client_secret = hashed.shown;
        }
        let client = row.client.clone();
        state.clients.insert(client_id, row);
        Ok(RegisteredClient::new(client)
            .with_client_secret(client_secret)
            .with_registration_access_token(token))
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
        Ok(Some(RegisteredClient::new(client).with_client_secret(hashed.shown)))
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
        state.consents.retain(|_, consent| consent.client_id != client_id);
        state.devices.retain(|_, device| device.client_id != client_id);
        Ok(true)
    }

    async fn ensure_client(&self, client: NewClient) -> Result<Client> {
        let client_id = client.check_declared()?;
        let uses_secret = client.metadata.token_endpoint_auth_method.uses_secret();
        let hashes = {
            let state = self.state().await;
            let row = state.clients.get(client_id);
            row.map_or_else(Vec::new, |row| row.hashes(state.now()))
        };
        let mut known = None;
        for hash in hashes {
            let is_declared = match &client.client_secret {
                ClientSecret::Generated => false,
                ClientSecret::Hashed(declared) => *declared == hash,
                ClientSecret::Chosen(secret) => {
                    verify_client_secret(secret, std::slice::from_ref(&hash)).await?
                }
            };
            if is_declared {
                known = Some(hash);
                break;
            }
        }
        let hash = match (uses_secret, known) {
            (false, _) => None,
            (true, Some(hash)) => Some(hash),
            (true, None) => Some(hash_client_secret(&client.client_secret).await?.hash),
        };

        let mut state = self.state().await;
        let now = state.now();
        let expires_at = client.expires_in.map(|lifetime| after(now, lifetime));
        let row = state.clients.entry(client_id.to_owned()).or_insert_with(|| ClientRow {
            client: Client {
                client_id: client_id.to_owned(),
                metadata: client.metadata.clone(),
                client_id_issued_at: now,
                client_secret_expires_at: None,
                updated_at: now,
                disabled_at: None,
                deleted_at: None,
                expires_at,
                last_used_at: None,
            },
            secret: None,
            previous_secrets: Vec::new(),
            registration_access_token_hash: None,
        });
        let is_previous = |hash: &String| {
            row.previous_secrets.iter().any(|own| own.hash == *hash && own.is_valid(now))
        };
        let (is_secret_declared, is_previous) = match (&hash, &row.secret) {
            (None, current) => (current.is_none(), false),
            (Some(hash), Some(current)) if current.hash == *hash => {
                (current.expires_at.is_none(), false)
            }
            (Some(hash), _) => (is_previous(hash), is_previous(hash)),
        };
        let lasts = row.client.lasts(client.expires_in, now);
        if is_secret_declared
            && lasts
            && row.client.metadata == client.metadata
            && row.registration_access_token_hash.is_none()
        {
            return Ok(row.client.clone());
        }
        row.client.updated_at = now;
        row.client.expires_at = expires_at;
        row.client.metadata = client.metadata.clone();
        row.registration_access_token_hash = None;
        let is_current = row.secret.as_ref().map(|own| &own.hash) == hash.as_ref();
        if !is_previous {
            if !is_current {
                row.previous_secrets.clear();
            }
            row.set_secret(hash.map(|hash| StoredSecret { hash, expires_at: None }));
        }
        Ok(row.client.clone())
    }

    async fn get_registration(
        &self,
        client_id: &str,
        registration_access_token: &Secret,
    ) -> Result<Option<Client>> {
        let state = self.state().await;
        let row = state.clients.get(client_id).filter(|row| row.is_enabled(state.now()));
        let hash = row.and_then(|row| row.registration_access_token_hash.as_deref());
        let is_right = is_registration_access_token(registration_access_token, hash);
        Ok(row.filter(|_| is_right).map(|row| row.client.clone()))
    }

    async fn purge_clients(&self, unused_for: Duration) -> Result<u64> {
        if !(MIN_UNUSED..=MAX_LIFETIME).contains(&unused_for) {
            return Err(Error::invalid("unused_for", InvalidReason::OutOfRange));
        }
        let mut guard = self.state().await;
        let state = &mut *guard;
        let (now, before) = (state.now(), state.clients.len());
        let live = state.grants.values();
        let live = live.filter(|grant| grant.revoked_at.is_none() && grant.expires_at > now);
        let in_use: HashSet<&str> = live.map(|grant| grant.client_id.as_str()).collect();
        state.clients.retain(|client_id, row| {
            let client = &row.client;
            let used_at = client.last_used_at.unwrap_or(client.client_id_issued_at);
            let is_unused = row.registration_access_token_hash.is_some()
                && !in_use.contains(client_id.as_str())
                && after(used_at, unused_for) <= now;
            !is_unused && client.expires_at.is_none_or(|end| end > now)
        });
        let clients = &state.clients;
        state.grants.retain(|_, grant| clients.contains_key(&grant.client_id));
        state.consents.retain(|_, consent| clients.contains_key(&consent.client_id));
        Ok(before.abs_diff(state.clients.len()).try_into().unwrap_or(u64::MAX))
    }
}
