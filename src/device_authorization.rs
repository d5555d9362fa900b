//! Device authorizations (RFC 8628).

mod poll;
mod storage;
mod user_code;

pub use poll::{DevicePoll, DevicePollOutcome};
pub use storage::DeviceAuthorizationStorage;
pub use user_code::{UserCodeLookup, UserCodeOutcome, user_code_digest};

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::check::{check_client_id, check_subject};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::{Secret, TokenHash};

/// The longest lifetime of a device authorization.
pub const MAX_DEVICE_CODE_LIFETIME: Duration = Duration::from_hours(1);

/// The longest interval between two polls.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(1);

/// The request of a device, for
/// [`start_device_authorization`](DeviceAuthorizationStorage::start_device_authorization).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewDeviceAuthorization {
    /// The client that asks.
    pub client_id: String,
    /// The requested scope.
    pub scope: Scope,
    /// Other values of the request, such as its resource indicators.
    pub context: GrantContext,
    /// The lifetime of both codes, in whole seconds; ten minutes by default, at most
    /// [`MAX_DEVICE_CODE_LIFETIME`].
    pub expires_in: Duration,
    /// The interval between two polls, in whole seconds; five by default (RFC 8628 3.2), at most
    /// [`MAX_POLL_INTERVAL`].
    pub interval: Duration,
}

impl NewDeviceAuthorization {
    /// A request with the default lifetime and interval.
    pub fn new(client_id: impl Into<String>, scope: Scope) -> Self {
        Self {
            client_id: client_id.into(),
            scope,
            context: GrantContext::default(),
            expires_in: Duration::from_mins(10),
            interval: Duration::from_secs(5),
        }
    }

    setters! {
        /// Sets other values of the request.
        with_context(context: GrantContext) => context;
        /// Sets the lifetime of both codes.
        with_expires_in(expires_in: Duration) => expires_in;
        /// Sets the interval between two polls.
        with_interval(interval: Duration) => interval;
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        check_client_id(&self.client_id)?;
        for (field, seconds, limit) in [
            ("expires_in", self.expires_in, MAX_DEVICE_CODE_LIFETIME),
            ("interval", self.interval, MAX_POLL_INTERVAL),
        ] {
            // The response has whole seconds (RFC 8628 3.2).
            let is_whole = seconds.subsec_nanos() == 0 && !seconds.is_zero();
            if !is_whole || seconds > limit {
                return Err(Error::invalid(field, InvalidReason::OutOfRange));
            }
        }
        self.context.check()
    }

    /// Generates the codes. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate(&self) -> Result<DeviceAuthorization> {
        Ok(DeviceAuthorization {
            device_code: Secret::generate()?,
            user_code: user_code::generate()?,
            expires_in: self.expires_in,
            interval: self.interval,
        })
    }
}

/// The codes of a device authorization (RFC 8628 3.2).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceAuthorization {
    /// The code with which the device polls: 256 random bits.
    pub device_code: Secret,
    /// The code that the user types: eight letters, as `WDJB-MJHT`.
    pub user_code: String,
    /// The lifetime of both codes.
    pub expires_in: Duration,
    /// The interval between two polls.
    pub interval: Duration,
}

impl DeviceAuthorization {
    /// The body of the response (RFC 8628 3.2). `verification_uri` is the address of the page at which
    /// the user types the code; `verification_uri_complete` is that with the parameter `user_code`.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `verification_uri` if it is not a URL.
    pub fn response_body(&self, verification_uri: &str) -> Result<Map<String, Value>> {
        let mut complete = url::Url::parse(verification_uri)
            .map_err(|_| Error::invalid("verification_uri", InvalidReason::NotAbsolute))?;
        complete.query_pairs_mut().append_pair("user_code", &self.user_code);
        Ok([
            ("device_code", json!(self.device_code.expose())),
            ("user_code", json!(self.user_code)),
            ("verification_uri", json!(verification_uri)),
            ("verification_uri_complete", json!(complete.as_str())),
            ("expires_in", json!(self.expires_in.as_secs())),
            ("interval", json!(self.interval.as_secs())),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
    }

    /// The grant that an approval stores. For storage implementations.
    #[must_use]
    pub fn grant_id(&self) -> Uuid {
        // A generated device code always names a grant.
        self.device_code.grant_id().unwrap_or_default()
    }
}

/// Omits both codes.
impl fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// A device authorization that waits for its user.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PendingDeviceAuthorization {
    /// The identifier, and the grant that an approval stores. An approval and a denial need it beside the user
    /// code, so that nobody can guess codes by them.
    pub grant_id: Uuid,
    /// The client that asked.
    pub client_id: String,
    /// The requested scope.
    pub scope: Scope,
    /// Other values of the request.
    pub context: GrantContext,
    /// Time at which the device asked.
    pub issued_at: DateTime<Utc>,
    /// Time of expiry.
    pub expires_at: DateTime<Utc>,
}

impl PendingDeviceAuthorization {
    /// Creates the result of a lookup. For storage implementations.
    #[must_use]
    pub const fn new(
        grant_id: Uuid,
        client_id: String,
        scope: Scope,
        context: GrantContext,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self { grant_id, client_id, scope, context, issued_at, expires_at }
    }
}

/// An approval, for
/// [`approve_device_authorization`](DeviceAuthorizationStorage::approve_device_authorization). The
/// user is that of the request.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeviceApproval {
    /// The user code, in any spelling.
    pub user_code: String,
    /// The identifier of the authorization that the page showed.
    pub grant_id: Uuid,
    /// The client that the page showed.
    pub client_id: String,
    /// The granted scope, at most the requested one.
    pub scope: Scope,
    /// Other values for the tokens. Missing authentication values are taken from the request's user, except
    /// `sid`, because the session is that of the browser.
    pub context: GrantContext,
}

/// Omits the user code.
impl fmt::Debug for DeviceApproval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceApproval")
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl DeviceApproval {
    /// An approval of what the page showed: the client, and all or a part of the requested scope. It has
    /// the context of the request.
    pub fn new(
        user_code: impl Into<String>,
        shown: &PendingDeviceAuthorization,
        scope: Scope,
    ) -> Self {
        Self {
            user_code: user_code.into(),
            grant_id: shown.grant_id,
            client_id: shown.client_id.clone(),
            scope,
            context: shown.context.clone(),
        }
    }

    setters! {
        /// Sets other values for the tokens.
        with_context(context: GrantContext) => context;
    }

    /// Returns the context to store, with the user's authentication, but without the session: a sign-out in the
    /// browser is not one of the device. For storage implementations.
    #[must_use]
    pub fn full_context(&self, request: &RequestContext) -> GrantContext {
        let sid = self.context.sid.clone();
        GrantContext { sid, ..self.context.clone().or_from(request.user.as_ref()) }
    }

    /// Checks every value and returns the subject. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid or there is no user.
    pub fn check(&self, request: &RequestContext) -> Result<String> {
        check_client_id(&self.client_id)?;
        let subject =
            request.subject().ok_or_else(|| Error::invalid("subject", InvalidReason::Missing))?;
        check_subject(subject)?;
        self.full_context(request).check()?;
        Ok(subject.to_owned())
    }

    /// The digest of the user code; `None` if it cannot be one. For storage implementations.
    #[must_use]
    pub fn user_code_digest(&self) -> Option<TokenHash> {
        user_code_digest(&self.user_code)
    }

    pub(crate) const fn wider() -> Error {
        Error::invalid("scope", InvalidReason::NotAllowed)
    }
}
