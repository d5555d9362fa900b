//! [`Storage`] for [`OauthAsStorage`].

use std::sync::Arc;
use std::time::SystemTime;

use oauth_as::authorization::{AuthorizationCodeRecord, AuthorizationCodeState};
#[cfg(feature = "consent")]
use oauth_as::consent::ConsentRecord;
#[cfg(feature = "par")]
use oauth_as::par::PushedAuthorizationRequest;
use oauth_as::{
    Client, ClientId, DeviceGrant, DeviceGrantState, IssuedToken, RefreshTokenRecord,
    RevocationWindow, Storage, StorageError, WriteOutcome,
};

use crate::OauthAsStorage;

type Result<T> = std::result::Result<T, StorageError>;

impl Storage for OauthAsStorage {
    async fn get_client(&self, client_id: &ClientId) -> Result<Option<Arc<Client>>> {
        self.find_client(client_id).await
    }

    async fn put_client(&self, client: Client) -> Result<()> {
        self.store_client(client).await
    }

    async fn compare_and_swap_client(&self, expected: &Client, updated: Client) -> Result<bool> {
        self.swap_client(expected, updated).await
    }

    async fn delete_client(&self, client_id: &ClientId, window: RevocationWindow) -> Result<bool> {
        self.delete_client_and_tokens(client_id, window).await
    }

    async fn put_device_grant(&self, grant: DeviceGrant) -> Result<()> {
        self.store_device_grant(grant).await
    }

    async fn get_device_grant(&self, device_code: &str) -> Result<Option<DeviceGrant>> {
        self.find_device_grant(device_code).await
    }

    async fn find_device_grant_by_user_code(
        &self,
        normalized_user_code: &str,
    ) -> Result<Option<DeviceGrant>> {
        self.find_device_grant_of(normalized_user_code).await
    }

    async fn take_device_grant(&self, device_code: &str) -> Result<Option<DeviceGrant>> {
        self.remove_device_grant(device_code).await
    }

    async fn compare_and_swap_device_grant(
        &self,
        expected: &DeviceGrantState,
        updated: DeviceGrant,
    ) -> Result<bool> {
        self.swap_device_grant(expected, updated).await
    }

    async fn put_authorization_code(&self, record: AuthorizationCodeRecord) -> Result<()> {
        self.store_authorization_code(record).await
    }

    async fn compare_and_swap_authorization_code(
        &self,
        expected: &AuthorizationCodeState,
        updated: AuthorizationCodeRecord,
    ) -> Result<bool> {
        self.swap_authorization_code(expected, updated).await
    }

    async fn take_authorization_code(&self, code: &str) -> Result<Option<AuthorizationCodeRecord>> {
        self.remove_authorization_code(code).await
    }

    #[cfg(feature = "par")]
    async fn put_pushed_authorization_request(
        &self,
        record: PushedAuthorizationRequest,
    ) -> Result<WriteOutcome> {
        self.store_pushed_request(record).await
    }

    #[cfg(feature = "par")]
    async fn take_pushed_authorization_request(
        &self,
        request_uri: &str,
    ) -> Result<Option<PushedAuthorizationRequest>> {
        self.remove_pushed_request(request_uri).await
    }

    async fn put_token(&self, token: IssuedToken) -> Result<WriteOutcome> {
        self.store_access_token(token).await
    }

    async fn get_token(&self, access_token: &str) -> Result<Option<Arc<IssuedToken>>> {
        self.find_access_token(access_token).await
    }

    async fn delete_token(&self, access_token: &str) -> Result<()> {
        self.delete_access_token(access_token).await
    }

    async fn put_refresh_token(&self, record: RefreshTokenRecord) -> Result<WriteOutcome> {
        self.store_refresh_token(record).await
    }

    async fn get_refresh_token(
        &self,
        refresh_token: &str,
    ) -> Result<Option<Arc<RefreshTokenRecord>>> {
        Ok(self.find_refresh_token(refresh_token).await?.map(Arc::new))
    }

    async fn rotate_refresh_token(
        &self,
        expected: &RefreshTokenRecord,
        spent: &RefreshTokenRecord,
        access: &IssuedToken,
        next: Option<&RefreshTokenRecord>,
    ) -> Result<bool> {
        self.rotate(expected, spent, access, next).await
    }

    async fn take_refresh_token(&self, refresh_token: &str) -> Result<Option<RefreshTokenRecord>> {
        self.remove_refresh_token(refresh_token).await
    }

    async fn revoke_token_family(&self, family_id: &str, window: RevocationWindow) -> Result<u64> {
        self.revoke_family(family_id, window).await
    }

    #[cfg(feature = "consent")]
    async fn put_consent(&self, record: ConsentRecord) -> Result<()> {
        self.store_consent(record).await
    }

    #[cfg(feature = "consent")]
    async fn compare_and_swap_consent(
        &self,
        expected: Option<&ConsentRecord>,
        updated: ConsentRecord,
    ) -> Result<bool> {
        self.swap_consent(expected, updated).await
    }

    #[cfg(feature = "consent")]
    async fn get_consent(&self, consent_id: &str) -> Result<Option<Arc<ConsentRecord>>> {
        self.read_consent(consent_id).await
    }

    #[cfg(feature = "consent")]
    async fn find_consent(
        &self,
        client_id: &ClientId,
        subject: &str,
    ) -> Result<Option<Arc<ConsentRecord>>> {
        self.find_consent_of(client_id, subject).await
    }

    #[cfg(feature = "consent")]
    async fn consents_for_subject(&self, subject: &str) -> Result<Vec<Arc<ConsentRecord>>> {
        self.list_consents(subject).await
    }

    #[cfg(feature = "consent")]
    async fn revoke_consent(&self, consent_id: &str, window: RevocationWindow) -> Result<u64> {
        self.withdraw_consent(consent_id, window).await
    }

    #[cfg(any(feature = "client-assertion", feature = "dpop"))]
    async fn claim_replay_id(&self, id: &str, expires_at: SystemTime) -> Result<bool> {
        self.claim(id, expires_at).await
    }

    async fn sweep_expired(&self, now: SystemTime) -> Result<u64> {
        self.sweep(now).await
    }
}
