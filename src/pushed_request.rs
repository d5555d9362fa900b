//! Pushed authorization requests (RFC 9126).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::check::{check_client_id, check_json};
use crate::error::{Error, InvalidReason, Result};
use crate::record::{MAX_VALUE_BYTES, NewRecord, RecordKind, check_expires_in};
use crate::secret::Secret;

/// The start of a `request_uri` (RFC 9126 2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// Storage of pushed authorization requests.
#[async_trait]
pub trait PushedRequestStorage: Send + Sync {
    /// Stores the parameters of an authorization request, and returns the reference to them (RFC 9126
    /// 2.2). Authenticate the client first.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    async fn push_request(&self, request: NewPushedRequest) -> Result<PushedRequest>;

    /// Takes the parameters that a client pushed. Of any number of calls exactly one gets them. Returns
    /// `None` if the reference is unknown, expired, taken, or of another client.
    ///
    /// ```
    /// use oauth_storage::pushed_request::NewPushedRequest;
    /// use oauth_storage::{MemoryStorage, PushedRequestStorage};
    /// use serde_json::{Map, json};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// let parameters = Map::from_iter([("scope".to_owned(), json!("openid"))]);
    /// let new = NewPushedRequest::new("s6BhdRkqt3", parameters.clone());
    /// let pushed = storage.push_request(new).await?;
    /// assert!(pushed.request_uri.starts_with("urn:ietf:params:oauth:request_uri:"));
    ///
    /// let taken = storage.take_pushed_request("s6BhdRkqt3", &pushed.request_uri).await?;
    /// assert_eq!(taken, Some(parameters));
    /// let again = storage.take_pushed_request("s6BhdRkqt3", &pushed.request_uri).await?;
    /// assert_eq!(again, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`]).
    async fn take_pushed_request(
        &self,
        client_id: &str,
        request_uri: &str,
    ) -> Result<Option<Map<String, Value>>>;
}

forward!(PushedRequestStorage {
    fn push_request(&self, request: NewPushedRequest) -> Result<PushedRequest>;
    fn take_pushed_request(&self, client_id: &str, request_uri: &str) -> Result<Option<Map<String, Value>>>;
});

/// A request to store with [`push_request`](PushedRequestStorage::push_request).
#[derive(Clone)]
#[non_exhaustive]
pub struct NewPushedRequest {
    /// The client that pushed it.
    pub client_id: String,
    /// The parameters of the authorization request, without `client_secret`, `client_assertion` and
    /// `request_uri`, which are refused.
    pub parameters: Map<String, Value>,
    /// The lifetime; 60 seconds by default (RFC 9126 2.2 suggests 5 to 600).
    pub expires_in: Duration,
}

impl NewPushedRequest {
    /// A request that expires after a minute.
    pub fn new(client_id: impl Into<String>, parameters: Map<String, Value>) -> Self {
        Self { client_id: client_id.into(), parameters, expires_in: Duration::from_secs(60) }
    }

    setters! {
        /// Sets the lifetime.
        with_expires_in(expires_in: Duration) => expires_in;
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        check_client_id(&self.client_id)?;
        // Credentials must not be stored, and a reference must not refer to another (RFC 9126 2.1).
        if ["client_secret", "client_assertion", "request_uri"]
            .iter()
            .any(|name| self.parameters.contains_key(*name))
        {
            return Err(Error::invalid("parameters", InvalidReason::NotAllowed));
        }
        check_json("parameters", &self.parameters, MAX_VALUE_BYTES)?;
        // The response has whole seconds, at least one (RFC 9126 2.2).
        if self.expires_in < Duration::from_secs(1) {
            return Err(Error::invalid("expires_in", InvalidReason::OutOfRange));
        }
        check_expires_in(self.expires_in)
    }

    /// Generates the reference. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate(&self) -> Result<PushedRequest> {
        let request_uri = format!("{PREFIX}{}", Secret::generate_unnamed()?.expose());
        Ok(PushedRequest::new(request_uri, self.expires_in))
    }

    /// The reference to return, and the record to store.
    pub(crate) fn into_record(self) -> Result<(PushedRequest, NewRecord)> {
        self.check()?;
        let pushed = self.generate()?;
        let record = NewRecord {
            kind: RecordKind::Pushed,
            digest: RecordKind::Pushed.digest(&[&pushed.request_uri]),
            client_id: Some(self.client_id),
            value: Some(self.parameters),
            expires_in: self.expires_in,
        };
        Ok((pushed, record))
    }
}

/// Omits the parameters, which contain `state`, `nonce` and hints.
impl fmt::Debug for NewPushedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPushedRequest")
            .field("client_id", &self.client_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// The body of the response (RFC 9126 2.2).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedRequest {
    /// The reference to the request: 256 random bits.
    pub request_uri: String,
    /// The lifetime.
    pub expires_in: Duration,
}

/// Omits the reference, which is a secret until it is used.
impl fmt::Debug for PushedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushedRequest")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl PushedRequest {
    /// A reference and its lifetime. For storage implementations.
    #[must_use]
    pub const fn new(request_uri: String, expires_in: Duration) -> Self {
        Self { request_uri, expires_in }
    }

    /// Returns the body of the response. Send it with status 201 and `Cache-Control: no-store`.
    #[must_use]
    pub fn response(&self) -> Map<String, Value> {
        Map::from_iter([
            ("request_uri".to_owned(), self.request_uri.as_str().into()),
            ("expires_in".to_owned(), self.expires_in.as_secs().into()),
        ])
    }
}
