use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{MemoryStorage, after, now};
use crate::client_secret;
use crate::error::{Error, Problem, Result};
use crate::model::{Client, ClientMetadata, NewClient, RegisteredClient, check_client_id};
use crate::request::Request;
use crate::secret::Secret;
use crate::storage::{ClientRegistry, ClientStorage, RotateClientSecret, check_limit};

/// One client, under its identifier.
pub(super) struct ClientRow {
    pub(super) client: Client,
    secret: Option<StoredSecret>,
    /// Earlier secrets whose overlap is running, the newest first.
    previous_secrets: Vec<StoredSecret>,
}

struct StoredSecret {
    hash: String,
    expires_at: Option<DateTime<Utc>>,
}

impl StoredSecret {
    fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }

    /// The same secret, with an end no later than that.
    fn ending(self, end: DateTime<Utc>) -> Self {
        Self { expires_at: Some(self.expires_at.map_or(end, |own| own.min(end))), ..self }
    }
}

impl ClientRow {
    /// The hashes of the secrets that are valid now.
    fn hashes(&self, now: DateTime<Utc>) -> Vec<String> {
        let secrets = self.secret.iter().chain(&self.previous_secrets);
        secrets.filter(|secret| secret.is_valid(now)).map(|secret| secret.hash.clone()).collect()
    }

    fn set_secret(&mut self, secret: Option<StoredSecret>) {
        self.client.client_secret_expires_at = secret.as_ref().and_then(|secret| secret.expires_at);
        self.secret = secret;
    }

    fn rotate_secret(
        &mut self,
        hash: String,
        lifetime: Option<Duration>,
        overlap: Duration,
    ) -> Result<()> {
        let now = now();
        self.previous_secrets.retain(|secret| secret.is_valid(now));
        if overlap.is_zero() {
            self.previous_secrets.clear();
        } else if self.previous_secrets.len() >= client_secret::MAX_PREVIOUS_SECRETS {
            let problem = Problem::TooMany(client_secret::MAX_PREVIOUS_SECRETS);
            return Err(Error::invalid("overlap", problem));
        } else if let Some(secret) = self.secret.take().filter(|secret| secret.is_valid(now)) {
            self.previous_secrets.insert(0, secret.ending(after(now, overlap)));
        }
        let expires_at = lifetime.map(|lifetime| after(now, lifetime));
        self.set_secret(Some(StoredSecret { hash, expires_at }));
        self.client.updated_at = now;
        Ok(())
    }
}

#[async_trait]
impl ClientStorage for MemoryStorage {
    async fn get_client(
        &self,
        _request: &Request,
        client_id: &str,
        client_secret: Option<&Secret>,
    ) -> Result<Option<Client>> {
        let found = {
            let state = self.state();
            let enabled = |row: &&ClientRow| row.client.disabled_at.is_none();
            let row = state.clients.get(client_id).filter(enabled);
            row.map(|row| (row.client.clone(), row.hashes(now())))
        };
        let (client, hashes) = found.map_or((None, Vec::new()), |(c, hashes)| (Some(c), hashes));
        match client_secret {
            // An unknown client costs what a wrong secret costs.
            Some(secret) if !client_secret::verify(secret, &hashes).await? => Ok(None),
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
            None => client_secret::generate_client_id()?,
        };
        let hashed = match client.metadata.token_endpoint_auth_method.uses_secret() {
            true => Some(client_secret::hash(&client.client_secret).await?),
            false => None,
        };

        let mut state = self.state();
        let now = now();
        if state.clients.contains_key(&client_id) {
            return Err(Error::invalid("client_id", Problem::Duplicate));
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
        Ok(self.state().clients.get(client_id).map(|row| row.client.clone()))
    }

    async fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>> {
        check_limit(limit)?;
        after.map_or(Ok(()), check_client_id)?;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let rows = state.clients.range::<str, _>((start, Bound::Unbounded));
        Ok(rows.take(limit).map(|(_, row)| row.client.clone()).collect())
    }

    async fn update_client(
        &self,
        client_id: &str,
        metadata: ClientMetadata,
    ) -> Result<Option<Client>> {
        metadata.check()?;
        let mut state = self.state();
        let Some(row) = state.clients.get_mut(client_id) else { return Ok(None) };
        if !metadata.token_endpoint_auth_method.uses_secret() {
            row.previous_secrets.clear();
            row.set_secret(None);
        }
        row.client.metadata = metadata;
        row.client.updated_at = now();
        Ok(Some(row.client.clone()))
    }

    async fn rotate_client_secret(
        &self,
        client_id: &str,
        rotation: RotateClientSecret,
    ) -> Result<Option<RegisteredClient>> {
        rotation.check()?;
        let uses_secret =
            |client: &Client| match client.metadata.token_endpoint_auth_method.uses_secret() {
                true => Ok(()),
                false => Err(Error::invalid("token_endpoint_auth_method", Problem::NotAllowed)),
            };
        match self.read_client(client_id).await? {
            Some(client) => uses_secret(&client)?,
            None => return Ok(None),
        }
        let hashed = client_secret::hash(&rotation.client_secret).await?;

        // The client may have changed, or gone, while its secret was hashed.
        let mut state = self.state();
        let Some(row) = state.clients.get_mut(client_id) else { return Ok(None) };
        uses_secret(&row.client)?;
        row.rotate_secret(hashed.hash, rotation.client_secret_expires_in, rotation.overlap)?;
        let client = row.client.clone();
        Ok(Some(RegisteredClient { client, client_secret: hashed.shown }))
    }

    async fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool> {
        let mut state = self.state();
        let Some(row) = state.clients.get_mut(client_id) else { return Ok(false) };
        // Disabling once more does not move the time since when.
        if disabled != row.client.disabled_at.is_some() {
            let now = now();
            row.client.disabled_at = disabled.then_some(now);
            row.client.updated_at = now;
        }
        Ok(true)
    }

    async fn delete_client(&self, client_id: &str) -> Result<bool> {
        let mut state = self.state();
        if state.clients.remove(client_id).is_none() {
            return Ok(false);
        }
        state.grants.retain(|_, grant| grant.client_id != client_id);
        Ok(true)
    }
}
