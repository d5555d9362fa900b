use std::time::Duration;

use async_trait::async_trait;

use crate::client::{Client, ClientMetadata, ClientSecretRotation, NewClient, RegisteredClient};
use crate::error::Result;
use crate::request::RequestContext;
use crate::secret::Secret;

/// Client lookup and authentication, for endpoints.
#[async_trait]
pub trait ClientStorage: Send + Sync {
    /// Finds a client. With a secret, returns the client only if the secret is right. Without one,
    /// returns the public record, for a client that authenticates by other means or not at all.
    /// Returns `None` if the client is unknown, disabled or expired, or if the secret is wrong or
    /// expired: all at the same cost, in constant time.
    ///
    /// A client that is found counts as used: its `last_used_at` is written, at most once a day, and
    /// after this call has returned. It is not written on a connection of the application, nor on a
    /// standby.
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
    /// Registers a client. A generated secret has 256 bits and is shown only once.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is
    /// invalid; with [`InvalidReason::Duplicate`](crate::error::InvalidReason::Duplicate) if the
    /// `client_id` already exists.
    async fn register_client(&self, client: NewClient) -> Result<RegisteredClient>;

    /// Registers a client that is declared elsewhere, such as in a configuration file, or changes it
    /// to what is declared: its metadata and its secret. Calling it again changes nothing, so every
    /// process can call it at its start. A client that registered itself becomes a declared one; a
    /// disabled client stays disabled.
    ///
    /// If the client does not have the secret, the earlier ones end at once. For an overlap, call
    /// [`rotate_client_secret`](Self::rotate_client_secret) with the new one first: during the overlap
    /// declarations with either change nothing.
    ///
    /// A declaration with a lifetime, such as of a client ID metadata document, is renewed by the next
    /// call once half of the lifetime has passed.
    ///
    /// ```
    /// use oauth_storage::client::ClientSecret;
    /// use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient, Secret};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let declared = NewClient::new(ClientMetadata::client_credentials())
    ///     .with_client_id("billing")
    ///     .with_client_secret(ClientSecret::Chosen(Secret::new("correct horse battery")));
    /// let storage = MemoryStorage::new();
    /// let client = storage.ensure_client(declared.clone()).await?;
    /// assert_eq!(storage.ensure_client(declared).await?, client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid
    /// (see [`NewClient::check_declared`]); with `client_id` and
    /// [`InvalidReason::Duplicate`](crate::error::InvalidReason::Duplicate) while a client of that
    /// identifier is being deleted.
    async fn ensure_client(&self, client: NewClient) -> Result<Client>;

    /// Finds a client by its registration access token, for the client configuration endpoint
    /// (RFC 7592 2). Returns `None` if the token is wrong, or the client is unknown, disabled or
    /// expired: answer 401.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_registration(
        &self,
        client_id: &str,
        registration_access_token: &Secret,
    ) -> Result<Option<Client>>;

    /// Reads a client, even a disabled one.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn read_client(&self, client_id: &str) -> Result<Option<Client>>;

    /// Lists at most `limit` (1 to 1000) clients in the order of `client_id`, starting after
    /// `after`. Pass the last identifier to get the next page; a page shorter than `limit` is the
    /// last.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) if `limit` is out of range, or with
    /// `client_id` if `after` cannot be a client identifier.
    async fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>>;

    /// Replaces a client's metadata. Returns `None` if the client is unknown or being deleted.
    ///
    /// A client that no longer authenticates with a secret loses its secrets. One that now needs a
    /// secret has none until [`rotate_client_secret`](Self::rotate_client_secret).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is
    /// invalid.
    async fn update_client(
        &self,
        client_id: &str,
        metadata: ClientMetadata,
    ) -> Result<Option<Client>>;

    /// Sets a new secret. The old one stays valid during the overlap, so that the client's
    /// instances can change one by one. A further rotation does not shorten an overlap that is
    /// running, but an overlap of zero ends every earlier secret at once. Returns `None` if the
    /// client is unknown or being deleted.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is
    /// invalid; with `token_endpoint_auth_method` and
    /// [`InvalidReason::NotAllowed`](crate::error::InvalidReason::NotAllowed) if the client uses no
    /// secret; with `overlap` and [`InvalidReason::TooMany`](crate::error::InvalidReason::TooMany)
    /// if two earlier secrets are still valid.
    async fn rotate_client_secret(
        &self,
        client_id: &str,
        rotation: ClientSecretRotation,
    ) -> Result<Option<RegisteredClient>>;

    /// Disables a client or enables it again. A disabled client is not found, and nothing is issued
    /// to it once this has returned. Tokens issued before stay active until they expire or are
    /// revoked. Returns false if the client is unknown or being deleted.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)). After
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) call it again: the client may be
    /// disabled while a call in flight still issues.
    async fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool>;

    /// Deletes a client and all its grants, whose tokens and codes are then no longer found.
    /// Returns false if the client is unknown.
    ///
    /// The client is disabled first and its row is deleted last, so its identifier is free only
    /// when all its grants are deleted. Grants are deleted in batches, each of which is committed.
    /// After an interruption the client stays disabled and cannot be enabled; the next call
    /// continues. Until then the access tokens of the remaining grants stay active.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)); with
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) once the client is disabled.
    async fn delete_client(&self, client_id: &str) -> Result<bool>;

    /// Deletes the clients that have expired, and of those that registered themselves the ones that
    /// were not used for this long, with all their grants; finishes interrupted deletions. Returns the
    /// number of deleted clients. A client without a registration access token and without an expiry is
    /// never deleted.
    ///
    /// A client that has a live grant is in use. Lookups on a standby or in a transaction of the
    /// application do not write the last use, so there the live grant is all that shows it.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `unused_for` if it is shorter than two
    /// days, because the last use is exact to a day only. If a client cannot be deleted, the others still
    /// are, and the first error is returned. Call it again to continue.
    async fn purge_clients(&self, unused_for: Duration) -> Result<u64>;
}

forward!(ClientRegistry {
    fn register_client(&self, client: NewClient) -> Result<RegisteredClient>;
    fn read_client(&self, client_id: &str) -> Result<Option<Client>>;
    fn list_clients(&self, after: Option<&str>, limit: usize) -> Result<Vec<Client>>;
    fn update_client(&self, client_id: &str, metadata: ClientMetadata) -> Result<Option<Client>>;
    fn rotate_client_secret(&self, client_id: &str, rotation: ClientSecretRotation) -> Result<Option<RegisteredClient>>;
    fn set_client_disabled(&self, client_id: &str, disabled: bool) -> Result<bool>;
    fn delete_client(&self, client_id: &str) -> Result<bool>;
    fn ensure_client(&self, client: NewClient) -> Result<Client>;
    fn get_registration(&self, client_id: &str, registration_access_token: &Secret) -> Result<Option<Client>>;
    fn purge_clients(&self, unused_for: Duration) -> Result<u64>;
});
