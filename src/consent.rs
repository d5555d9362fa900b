//! Consent of a subject to a client, which outlives the grants.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::check::{check_client_id, check_subject};
use crate::error::{Error, InvalidReason, Result};
use crate::scope::{MAX_SCOPE_TOKENS, Scope};

mod connected;

pub use connected::{ConnectedApplication, ConsentStorageExt};

/// Storage of consent (OpenID Connect Core 3.1.2.4).
///
/// Grants end with their tokens, and a client can revoke them. Consent stays, so that the next
/// authorization request needs no page: with `prompt=none`, or for a scope that was allowed before.
///
/// ```
/// use oauth_storage::{ClientMetadata, ClientRegistry, ConsentStorage, MemoryStorage, NewClient, Scope};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let storage = MemoryStorage::new();
/// # let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/cb"]));
/// # let client_id = storage.register_client(new).await?.client.client_id;
/// // After Alice has agreed.
/// let requested: Scope = "openid email".parse()?;
/// storage.add_consent("alice", &client_id, &requested).await?;
///
/// // At the next authorization request.
/// let consent = storage.get_consent("alice", &client_id).await?;
/// assert!(consent.is_some_and(|consent| consent.covers(&requested)));
///
/// // "Disconnect this application": the consent and every grant.
/// let outcome = storage.withdraw_consent("alice", &client_id).await?;
/// assert!(outcome.withdrawn);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait ConsentStorage: Send + Sync {
    /// Adds a scope to the consent of a subject for a client, and returns the whole consent.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid; with `client_id` if the
    /// client is unknown or disabled; with `scope` and [`InvalidReason::TooMany`] if the sum is too large.
    async fn add_consent(&self, subject: &str, client_id: &str, scope: &Scope) -> Result<Consent>;

    /// Returns the consent of a subject for a client; `None` if there is none.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    async fn get_consent(&self, subject: &str, client_id: &str) -> Result<Option<Consent>>;

    /// Lists at most `limit` (1 to 1000) consents of a subject, in the order of the client identifiers. Pass
    /// the last one as `after` to get the next page.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if `limit` is out of range or `after` is malformed.
    async fn list_consents(
        &self,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Consent>>;

    /// Withdraws the consent of a subject for a client, and revokes every grant of the two. No grant stored
    /// before the call is active after it.
    ///
    /// A request that read the consent before can store its grant afterwards. It is listed, and can be revoked.
    ///
    /// The consent is deleted first. The grants are revoked in batches, as
    /// [`revoke_subject`](crate::GrantStorage::revoke_subject) does; after an error call it again.
    ///
    /// # Errors
    /// Fails as [`revoke_subject`](crate::GrantStorage::revoke_subject) does.
    async fn withdraw_consent(&self, subject: &str, client_id: &str) -> Result<WithdrawalOutcome>;
}

forward!(ConsentStorage {
    fn add_consent(&self, subject: &str, client_id: &str, scope: &Scope) -> Result<Consent>;
    fn get_consent(&self, subject: &str, client_id: &str) -> Result<Option<Consent>>;
    fn list_consents(&self, subject: &str, after: Option<&str>, limit: usize) -> Result<Vec<Consent>>;
    fn withdraw_consent(&self, subject: &str, client_id: &str) -> Result<WithdrawalOutcome>;
});

/// The record of what a subject allowed a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Consent {
    /// The subject that consented.
    pub subject: String,
    /// The client that is allowed.
    pub client_id: String,
    /// Everything that was allowed so far, in the order in which it was.
    pub scope: Scope,
    /// Time of the first consent.
    pub granted_at: DateTime<Utc>,
    /// Time of the last consent.
    pub updated_at: DateTime<Utc>,
}

impl Consent {
    /// Creates a record. For storage implementations.
    #[must_use]
    pub const fn new(
        subject: String,
        client_id: String,
        scope: Scope,
        granted_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
    ) -> Self {
        Self { subject, client_id, scope, granted_at, updated_at }
    }

    /// Returns true if the consent allows all of the scope.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        scope.is_subset_of(&self.scope)
    }
}

/// The outcome of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct WithdrawalOutcome {
    /// True if there was a consent.
    pub withdrawn: bool,
    /// Number of grants that were revoked.
    pub revoked_grants: u64,
}

/// Checks the names of a consent to add. For storage implementations.
///
/// # Errors
/// Returns [`Error::Invalid`], which names the field, if a value is invalid.
pub fn check_consent(subject: &str, client_id: &str) -> Result<()> {
    check_subject(subject)?;
    check_client_id(client_id)
}

/// The error of a scope that would be too large.
pub(crate) const fn too_large() -> Error {
    Error::invalid("scope", InvalidReason::TooMany(MAX_SCOPE_TOKENS))
}
