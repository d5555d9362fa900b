use async_trait::async_trait;
use uuid::Uuid;

use super::{
    DeviceApproval, DeviceAuthorization, DevicePoll, DevicePollOutcome, NewDeviceAuthorization,
    UserCodeLookup, UserCodeOutcome,
};
use crate::error::Result;
use crate::request::RequestContext;

/// Storage of device authorizations (RFC 8628): a device without a browser shows a code, and the user approves
/// it on another device.
///
/// ```
/// use oauth_storage::device_authorization::{
///     DeviceApproval, DevicePoll, DevicePollOutcome, NewDeviceAuthorization, UserCodeLookup,
///     UserCodeOutcome,
/// };
/// use oauth_storage::{
///     ClientMetadata, ClientRegistry, DeviceAuthorizationStorage, MemoryStorage, NewClient,
///     RequestContext, User,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let storage = MemoryStorage::new();
/// # let new = NewClient::new(ClientMetadata::device_code().public());
/// # let client_id = storage.register_client(new).await?.client.client_id;
/// // At the device authorization endpoint.
/// let new = NewDeviceAuthorization::new(&client_id, "openid".parse()?);
/// let device = storage.start_device_authorization(new).await?;
/// let body = device.response_body("https://issuer.example/device")?;
/// assert_eq!(body["interval"], 5);
///
/// // At the token endpoint, again and again.
/// let poll = DevicePoll::new(&client_id, device.device_code.clone()).with_refresh_token(true);
/// let outcome = storage.poll_device_authorization(&RequestContext::default(), poll.clone()).await?;
/// assert_eq!(outcome.error(), Some("authorization_pending"));
///
/// // At the page on which Alice types the code.
/// let typed = device.user_code.to_lowercase();
/// let UserCodeOutcome::Found(shown) =
///     storage.find_device_authorization(UserCodeLookup::new(&typed)).await?
/// else {
///     panic!("ask her to type it again")
/// };
/// let approval = DeviceApproval::new(&typed, &shown, shown.scope.clone());
/// let alice = RequestContext::for_user(User::new("alice"));
/// assert!(storage.approve_device_authorization(&alice, approval).await?);
///
/// let outcome = storage.poll_device_authorization(&RequestContext::default(), poll).await?;
/// let DevicePollOutcome::Issued(issued) = outcome else { panic!("it was approved") };
/// assert_eq!(issued.token.subject.as_deref(), Some("alice"));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait DeviceAuthorizationStorage: Send + Sync {
    /// Stores the request of a device and returns its codes (RFC 8628 3.2). Only digests are stored.
    /// Authenticate the client first, and limit the rate of a public one.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid; with
    /// `client_id` if the client is unknown or disabled.
    async fn start_device_authorization(
        &self,
        device: NewDeviceAuthorization,
    ) -> Result<DeviceAuthorization>;

    /// Finds the authorization with a user code, in any spelling, that waits for its user (RFC 8628 3.3).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if the limit is invalid.
    async fn find_device_authorization(&self, lookup: UserCodeLookup) -> Result<UserCodeOutcome>;

    /// Approves an authorization for the user of the request and stores its grant, which is listed and
    /// revoked as any other. Returns false if it no longer waits: it has expired, or was approved or denied
    /// before. If an earlier call ended with an unknown outcome, the listed grants of the user show whether it
    /// was approved.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid; with
    /// `scope` if it is wider than the requested one.
    async fn approve_device_authorization(
        &self,
        request: &RequestContext,
        approval: DeviceApproval,
    ) -> Result<bool>;

    /// Denies the authorization with a user code that [`find`](Self::find_device_authorization) returned with
    /// this identifier. Returns false if it no longer waits.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn deny_device_authorization(&self, user_code: &str, grant_id: Uuid) -> Result<bool>;

    /// Answers the token request of a device (RFC 8628 3.4). Of any number of polls on any number of nodes
    /// exactly one is issued the tokens. The storage's clock decides whether a poll is early.
    ///
    /// If the response with the tokens is lost, the user has to approve again.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a given token or a setting
    /// is invalid.
    async fn poll_device_authorization(
        &self,
        request: &RequestContext,
        poll: DevicePoll,
    ) -> Result<DevicePollOutcome>;
}

forward!(DeviceAuthorizationStorage {
    fn start_device_authorization(&self, device: NewDeviceAuthorization) -> Result<DeviceAuthorization>;
    fn find_device_authorization(&self, lookup: UserCodeLookup) -> Result<UserCodeOutcome>;
    fn approve_device_authorization(&self, request: &RequestContext, approval: DeviceApproval) -> Result<bool>;
    fn deny_device_authorization(&self, user_code: &str, grant_id: Uuid) -> Result<bool>;
    fn poll_device_authorization(&self, request: &RequestContext, poll: DevicePoll) -> Result<DevicePollOutcome>;
});
