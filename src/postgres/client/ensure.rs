//! Declared clients, and clients that register themselves.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::row::ClientRow;
use super::{names, new_secret};
use crate::check::check_client_id;
use crate::client::secret::{is_registration_access_token, verify_client_secret};
use crate::client::{Client, ClientDetails, ClientSecret, NewClient};
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::secret::Secret;
use crate::settings::micros;

/// A client, and what its registration is decided by.
struct Registration {
    client: Client,
    /// The hash of the current secret, if that has not expired.
    current: Option<String>,
    /// The hashes of earlier secrets whose overlap is running.
    previous: Vec<String>,
    registration_access_token_hash: Option<String>,
    is_enabled: bool,
    now: DateTime<Utc>,
}

/// The declared secret among those of the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Current,
    Previous,
    Nowhere,
}

impl Registration {
    async fn find(&self, declared: &ClientSecret) -> Result<Found> {
        if let Some(current) = &self.current
            && matches(declared, current).await?
        {
            return Ok(Found::Current);
        }
        for previous in &self.previous {
            if matches(declared, previous).await? {
                return Ok(Found::Previous);
            }
        }
        Ok(Found::Nowhere)
    }

    /// Returns true if nothing has to be changed.
    fn is_declared(&self, declared: &NewClient, found: Found) -> bool {
        let client = &self.client;
        let uses_secret = declared.metadata.token_endpoint_auth_method.uses_secret();
        let has_secret = match found {
            Found::Current => client.client_secret_expires_at.is_none(),
            Found::Previous => true,
            Found::Nowhere => !uses_secret,
        };
        has_secret
            && client.metadata == declared.metadata
            && client.deleted_at.is_none()
            && self.registration_access_token_hash.is_none()
            && client.lasts(declared.expires_in, self.now)
    }
}

async fn matches(declared: &ClientSecret, hash: &str) -> Result<bool> {
    match declared {
        ClientSecret::Generated => Ok(false),
        ClientSecret::Hashed(declared) => Ok(declared == hash),
        ClientSecret::Chosen(secret) => verify_client_secret(secret, &[hash.to_owned()]).await,
    }
}

impl<C: Connections> PgStorage<C> {
    pub(super) async fn declare(&self, declared: NewClient) -> Result<Client> {
        let client_id = declared.check_declared()?;
        let existing = self.registration(client_id).await?;
        let found = match &existing {
            Some(existing) => existing.find(&declared.client_secret).await?,
            None => Found::Nowhere,
        };
        if let Some(existing) = &existing
            && existing.is_declared(&declared, found)
        {
            return Ok(existing.client.clone());
        }
        let metadata = &declared.metadata;
        let uses_secret = metadata.token_endpoint_auth_method.uses_secret();
        // The hash that was read: if the client is deleted meanwhile, it is registered with its secret.
        let hash = match found {
            Found::Current | Found::Previous => existing.and_then(|existing| existing.current),
            Found::Nowhere => None,
        };
        let hash = match hash.filter(|_| uses_secret) {
            Some(hash) => Some(hash),
            None => new_secret(metadata, &declared.client_secret).await?.1,
        };
        let mut call = self.connections.begin(Effect::Write).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    ClientRow,
                    "src/postgres/sql/ensure_client.sql",
                    client_id,
                    hash,
                    metadata.token_endpoint_auth_method.as_str(),
                    &metadata.redirect_uris,
                    &names(&metadata.grant_types),
                    &names(&metadata.response_types),
                    metadata.scope.as_str(),
                    Json(&metadata.details) as _,
                    declared.expires_in.map(micros),
                    found == Found::Previous,
                )
                .fetch_optional(connection)
            })
            .await?;
        row.ok_or(Error::invalid("client_id", InvalidReason::Duplicate))?.into_client()
    }

    pub(super) async fn find_registration(
        &self,
        client_id: &str,
        token: &Secret,
    ) -> Result<Option<Client>> {
        if check_client_id(client_id).is_err() || !token.is_well_formed() {
            return Ok(None);
        }
        let found = self.registration(client_id).await?;
        let hash = found.as_ref().and_then(|own| own.registration_access_token_hash.as_deref());
        let is_right = is_registration_access_token(token, hash);
        Ok(found.filter(|own| is_right && own.is_enabled).map(|own| own.client))
    }

    async fn registration(&self, client_id: &str) -> Result<Option<Registration>> {
        let mut call = self.connections.begin(Effect::Read).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/find_registration.sql", client_id)
                    .fetch_optional(connection)
            })
            .await?;
        let Some(row) = row else { return Ok(None) };
        let client = ClientRow {
            client_id: row.client_id,
            client_id_issued_at: row.client_id_issued_at,
            updated_at: row.updated_at,
            disabled_at: row.disabled_at,
            deleted_at: row.deleted_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            client_secret_expires_at: row.client_secret_expires_at,
            token_endpoint_auth_method: row.token_endpoint_auth_method,
            redirect_uris: row.redirect_uris,
            grant_types: row.grant_types,
            response_types: row.response_types,
            scope: row.scope,
            details: row.details,
        };
        Ok(Some(Registration {
            client: client.into_client()?,
            current: row.client_secret_hash,
            previous: row.previous_client_secret_hashes,
            registration_access_token_hash: row.registration_access_token_hash,
            is_enabled: row.enabled,
            now: row.now,
        }))
    }
}
