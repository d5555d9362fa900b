use async_trait::async_trait;

use crate::client::{Client, ClientMetadata, ClientSecretRotation, NewClient, RegisteredClient};
use crate::error::Result;
use crate::request::RequestContext;
use crate::secret::Secret;

/// Client lookup and authentication, for endpoints.
#[async_trait]
pub trait ClientStorage: Send + Sync {
    /// Finds a client. With a secret, only if the secret is right; without one, the public record,
    /// for a client that authenticates by other means or not at all. `None` for one that is
    /// unknown, disabled, or whose secret is wrong or expired: all at the same cost, in constant
    /// time.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_client(
        &self,
        request: &RequestContext,
        client_id: &str,
        client_secret: Option<&Secret>,
    ) -> Result<Option<Client>>;
}

forward!(ClientStorage {
    fn get_client(&self, request: &RequestContext, client_id: &str, client_secret: Option<&Secret>) -> Result<Option<Client>>;
});

/// Client management, for operators and registration endpoints (RFC 7591, RFC 7592).
#[async_trait]
pub trait ClientRegistry: Send + Sync {
    /// Registers a client. A secret that is generated here has 256 bits and is shown this once.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) names the field; a `client_id` that exists is [`InvalidReason::Duplicate`](crate::error::InvalidReason::Duplicate).
    async fn register_client(&self, client: NewClient) -> Result<RegisteredClient>;

    /// Reads a client, disabled or not.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn read_client(&self, client_id: &str) -> Result<Option<Client>>;

    /// Lists clients by `client_id`, at most `limit` (1 to 1000) of them, those after `after`.
    /// Pass the last one's id to get the next page; a page shorter than `limit` is the last.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) if `limit` is out of range, or if `after` cannot be a client
    /// identifier (field `client_id`).
    async fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>>;

    /// Replaces a client's metadata. `None` for a client that is unknown or being deleted.
    ///
    /// A client that now authenticates without a secret loses the one it had; one that now needs
    /// one has none until [`rotate_client_secret`](Self::rotate_client_secret).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) names the field.
    async fn update_client(
        &self,
        client_id: &str,
        metadata: ClientMetadata,
    ) -> Result<Option<Client>>;

    /// Gives a client a new secret. For the length of the overlap the old one stays valid, so that
    /// its instances can be changed one by one. A further rotation leaves a secret whose overlap is
    /// running as it is; one with an overlap of zero ends every earlier secret at once. `None` for a
    /// client that is unknown or being deleted.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with the field's name; `token_endpoint_auth_method` is
    /// [`InvalidReason::NotAllowed`](crate::error::InvalidReason::NotAllowed) for a client that has no secret, `overlap` is [`InvalidReason::TooMany`](crate::error::InvalidReason::TooMany) if
    /// two earlier secrets are still valid.
    async fn rotate_client_secret(
        &self,
        client_id: &str,
        rotation: ClientSecretRotation,
    ) -> Result<Option<RegisteredClient>>;

    /// Disables a client, or enables it again. A disabled client is not found, and nothing is issued
    /// to it once this has returned. Tokens issued before stay active until they expire or are
    /// revoked. Returns false for a client that is unknown or being deleted.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)), with [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) after the first
    /// of its two steps: the client may be disabled while a call in flight still issues. Call it again.
    async fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool>;

    /// Deletes a client and all its grants; their tokens and codes are not found after that. Returns
    /// false for an unknown client.
    ///
    /// The client is disabled first and deleted last: its identifier can be registered again only when
    /// nothing of it is left. In between it runs in batches, each of which is committed. If it is cut
    /// off the client stays disabled, cannot be enabled again, and the next call continues. Access tokens
    /// whose grants are not deleted by then stay active.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)), with [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) once the client
    /// is disabled.
    async fn delete_client(&self, client_id: &str) -> Result<bool>;
}

forward!(ClientRegistry {
    fn register_client(&self, client: NewClient) -> Result<RegisteredClient>;
    fn read_client(&self, client_id: &str) -> Result<Option<Client>>;
    fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>>;
    fn update_client(&self, client_id: &str, metadata: ClientMetadata) -> Result<Option<Client>>;
    fn rotate_client_secret(&self, client_id: &str, rotation: ClientSecretRotation) -> Result<Option<RegisteredClient>>;
    fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool>;
    fn delete_client(&self, client_id: &str) -> Result<bool>;
});
