//! Declared clients.

use sqlx::types::Json;

use super::row::ClientRow;
use super::{names, new_secret};
use crate::client::secret::verify_client_secret;
use crate::client::{Client, ClientDetails, ClientSecret, NewClient};
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;

impl<C: Connections> PgStorage<C> {
    pub(super) async fn declare(&self, declared: NewClient) -> Result<Client> {
        let client_id = declared.check_declared()?;
        let NewClient { metadata, client_secret, .. } = &declared;
        let existing = self.find_registered_client(client_id).await?;
        let has_secret = self.has_secret(client_id, client_secret).await?;
        let uses_secret = metadata.token_endpoint_auth_method.uses_secret();
        if let Some(existing) = existing
            && existing.metadata == *metadata
            && existing.deleted_at.is_none()
            && existing.expires_at.is_none()
            && (has_secret || !uses_secret)
            && !self.is_self_registered(client_id).await?
        {
            return Ok(existing);
        }
        let hash = match has_secret {
            true => None,
            false => new_secret(metadata, client_secret).await?.1,
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
                    uses_secret,
                )
                .fetch_optional(connection)
            })
            .await?;
        row.ok_or(Error::invalid("client_id", InvalidReason::Duplicate))?.into_client()
    }

    /// Returns true if the client's current secret is the declared one.
    async fn has_secret(&self, client_id: &str, declared: &ClientSecret) -> Result<bool> {
        let mut call = self.connections.begin(Effect::Read).await?;
        let hash = call
            .statement(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/find_client_secret.sql", client_id)
                    .fetch_optional(connection)
            })
            .await?;
        // The check takes milliseconds; other calls can use the connection meanwhile.
        drop(call);
        let Some(hash) = hash.flatten() else { return Ok(false) };
        match declared {
            ClientSecret::Generated => Ok(false),
            ClientSecret::Hashed(declared) => Ok(*declared == hash),
            ClientSecret::Chosen(secret) => verify_client_secret(secret, &[hash]).await,
        }
    }

    async fn is_self_registered(&self, client_id: &str) -> Result<bool> {
        let mut call = self.connections.begin(Effect::Read).await?;
        let hash = call
            .statement(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/find_registration.sql", client_id)
                    .fetch_optional(connection)
            })
            .await?;
        Ok(hash.is_some())
    }
}
