//! Authorization requests that wait for sign-in and consent. Any node can continue them, so a server needs no
//! memory of its own.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::check::check_json;
use crate::error::{Error, InvalidReason, Result};
use crate::record::{MAX_VALUE_BYTES, NewRecord, Record, RecordKind, check_expires_in};
use crate::secret::Secret;

/// Storage of pending authorization requests.
///
/// ```
/// use std::time::Duration;
///
/// use oauth_storage::pending_request::NewPendingRequest;
/// use oauth_storage::{MemoryStorage, PendingRequestStorage};
/// use serde_json::{Map, json};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let storage = MemoryStorage::new();
/// let value = Map::from_iter([("scope".to_owned(), json!("openid"))]);
/// let new = NewPendingRequest::new(value, Duration::from_secs(600))?;
/// let id = new.id.clone(); // for the form of the page
/// storage.suspend_request(new).await?;
///
/// // After the user has signed in, on any node:
/// let mut pending = storage.find_pending_request(&id).await?.expect("it waits");
/// pending.value.insert("subject".into(), json!("248289761001"));
/// assert!(storage.change_pending_request(&id, pending.clone()).await?);
/// assert!(!storage.change_pending_request(&id, pending).await?, "it has changed since");
///
/// // After consent: exactly one call gets it.
/// let taken = storage.resume_request(&id).await?.expect("it waits");
/// assert_eq!(taken.value["subject"], "248289761001");
/// assert!(storage.resume_request(&id).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait PendingRequestStorage: Send + Sync {
    /// Stores a request, of up to 32 KiB. Strangers can make a server call this, so limit their rate, or
    /// let the pages carry the query, as the example server does.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid; with
    /// `id` and [`InvalidReason::Duplicate`] if it exists.
    async fn suspend_request(&self, request: NewPendingRequest) -> Result<()>;

    /// Finds a request. Returns `None` if it is unknown, expired or resumed.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    async fn find_pending_request(&self, id: &Secret) -> Result<Option<PendingRequest>>;

    /// Replaces the value of a request, if it still has the version that was found. Returns false
    /// otherwise: find it again.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `value` if it is invalid.
    async fn change_pending_request(&self, id: &Secret, request: PendingRequest) -> Result<bool>;

    /// Takes a request, so that it is answered once. Of any number of calls exactly one gets it.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    async fn resume_request(&self, id: &Secret) -> Result<Option<PendingRequest>>;
}

forward!(PendingRequestStorage {
    fn suspend_request(&self, request: NewPendingRequest) -> Result<()>;
    fn find_pending_request(&self, id: &Secret) -> Result<Option<PendingRequest>>;
    fn change_pending_request(&self, id: &Secret, request: PendingRequest) -> Result<bool>;
    fn resume_request(&self, id: &Secret) -> Result<Option<PendingRequest>>;
});

/// A request to store with [`suspend_request`](PendingRequestStorage::suspend_request).
#[derive(Clone)]
#[non_exhaustive]
pub struct NewPendingRequest {
    /// The identifier, a secret of 256 bits. Only its digest is stored.
    pub id: Secret,
    /// The value, such as the checked parameters; at most 32 KiB as JSON, without a secret.
    pub value: Map<String, Value>,
    /// The lifetime.
    pub expires_in: Duration,
}

impl NewPendingRequest {
    /// A request with a generated identifier.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn new(value: Map<String, Value>, expires_in: Duration) -> Result<Self> {
        Ok(Self { id: Secret::generate_unnamed()?, value, expires_in })
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        self.id.check("id")?;
        check_json("value", &self.value, MAX_VALUE_BYTES)?;
        check_expires_in(self.expires_in)
    }

    pub(crate) fn into_record(self) -> Result<NewRecord> {
        self.check()?;
        Ok(NewRecord {
            kind: RecordKind::Pending,
            digest: RecordKind::Pending.digest(&[self.id.expose()]),
            client_id: None,
            value: Some(self.value),
            expires_in: self.expires_in,
        })
    }

    pub(crate) const fn duplicate() -> Error {
        Error::invalid("id", InvalidReason::Duplicate)
    }
}

/// Omits the value.
impl fmt::Debug for NewPendingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPendingRequest")
            .field("id", &self.id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// A pending request.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct PendingRequest {
    /// The value.
    pub value: Map<String, Value>,
    /// The version of the value, which a change compares.
    pub version: i32,
    /// Time of expiry, which a change does not move.
    pub expires_at: DateTime<Utc>,
}

/// Omits the value.
impl fmt::Debug for PendingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRequest")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl PendingRequest {
    /// A request that was found. For storage implementations.
    #[must_use]
    pub const fn new(value: Map<String, Value>, version: i32, expires_at: DateTime<Utc>) -> Self {
        Self { value, version, expires_at }
    }

    /// Checks the value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if the value is invalid.
    pub fn check(&self) -> Result<()> {
        check_json("value", &self.value, MAX_VALUE_BYTES)
    }
}

impl From<Record> for PendingRequest {
    fn from(Record { value, version, expires_at }: Record) -> Self {
        Self { value, version, expires_at }
    }
}
