use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;
use crate::grant::{
    CodeRedemption, Grant, GrantPage, Purged, RedemptionOutcome, RotationOutcome, TokenRotation,
};
use crate::request::RequestContext;
use crate::secret::Secret;
use crate::token::Token;

/// Storage of grants: exchanges that spend a credential exactly once, and revocation.
///
/// With the nine methods an exchange is a read, a write and a delete, so two concurrent requests
/// can both succeed. Here each exchange is one atomic operation, and its outcome shows which
/// request succeeded.
///
/// A grant is one act of authorization by a resource owner for a client. A credential is active only
/// while its grant is, so revoking the grant ends them all at once.
///
/// ```
/// use oauth_storage::{
///     AuthorizationCodeStorage, ClientMetadata, ClientRegistry, CodeRedemption, GrantStorage,
///     MemoryStorage, NewAuthorizationCode, NewClient, RedemptionOutcome, RequestContext, Secret,
///     User,
/// };
/// use oauth_storage::authorization_code::CodeChallenge;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let storage = MemoryStorage::new();
/// # let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]).public();
/// # let client_id = storage.register_client(NewClient::new(metadata)).await?.client.client_id;
/// let (code, verifier) = (Secret::generate()?, Secret::generate()?);
/// let uri = "https://client.example/cb";
/// let mut new = NewAuthorizationCode::new(&client_id, "openid".parse()?, uri, code.clone());
/// new.code_challenge = Some(CodeChallenge::s256(&verifier));
/// storage.create_authorization_code(&RequestContext::for_user(User::new("alice")), new).await?;
///
/// let redemption = CodeRedemption::new(&client_id, uri, code)
///     .with_code_verifier(verifier)
///     .with_refresh_token(true);
/// match storage.redeem_authorization_code(&RequestContext::default(), redemption.clone()).await? {
///     RedemptionOutcome::Issued(issued) => {
///         assert_eq!(issued.token.subject.as_deref(), Some("alice"));
///         assert!(issued.tokens.refresh_token.is_some());
///     }
///     RedemptionOutcome::Replayed { .. } | RedemptionOutcome::Invalid => {
///         unreachable!("answer invalid_grant")
///     }
/// }
/// // The second time it is refused, and the grant is revoked.
/// let again = storage.redeem_authorization_code(&RequestContext::default(), redemption).await?;
/// assert!(matches!(again, RedemptionOutcome::Replayed { .. }));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait GrantStorage: Send + Sync {
    /// Exchanges an authorization code for an access token and, if requested, a refresh token. One
    /// atomic operation checks client, redirect URI, PKCE verifier and expiry and spends the code
    /// (RFC 6749 4.1.3, RFC 7636 4.6). Lifetimes come from the request's settings; subject, scope
    /// and context come from the grant. A replay revokes the grant in the same operation.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a lifetime of
    /// the settings is out of range, or if given tokens break the syntax, already exist or name
    /// another grant. The code is not spent then. Otherwise fails only if the storage does.
    async fn redeem_authorization_code(
        &self,
        request: &RequestContext,
        redemption: CodeRedemption,
    ) -> Result<RedemptionOutcome>;

    /// Exchanges a refresh token for a new pair (RFC 6749 6, RFC 9700 4.14.2). The new refresh
    /// token has the scope and the absolute expiry of the old one; the access token may have a
    /// narrower scope. Neither outlives the absolute expiry, so the lifetime of the access token
    /// can be shorter than [`Settings::access_token_expires_in`](crate::Settings). Access tokens
    /// issued before stay active until they expire. A reuse revokes the grant in the same
    /// operation.
    ///
    /// Within the grace period ([`Settings::refresh_token_grace`](crate::Settings)) the old token
    /// can be exchanged again, for a client that lost the response. Each exchange issues another
    /// pair of the same grant.
    ///
    /// With an idle lifetime ([`Settings::refresh_token_idle_expires_in`](crate::Settings)) the new
    /// refresh token expires that long from now, or at the absolute expiry if that is earlier.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field: with `scope` and
    /// [`InvalidReason::NotAllowed`](crate::error::InvalidReason::NotAllowed) if the scope is
    /// wider; with `refresh_token` and
    /// [`InvalidReason::Missing`](crate::error::InvalidReason::Missing) if a given pair has no
    /// refresh token; if a lifetime of the settings is out of range; or if given tokens break the
    /// syntax, already exist or name another grant. The refresh token is not spent then. Otherwise
    /// fails only if the storage does.
    async fn rotate_refresh_token(
        &self,
        request: &RequestContext,
        rotation: TokenRotation,
    ) -> Result<RotationOutcome>;

    /// Finds an active token of either kind. Returns `None` if it is unknown, expired, rotated or
    /// revoked, without distinguishing these (RFC 7662 2.2).
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn introspect(&self, token: &Secret) -> Result<Option<Token>>;

    /// Finds a grant in any state.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_grant(&self, grant_id: Uuid) -> Result<Option<Grant>>;

    /// Revokes a grant. None of its credentials is active after this returns, whatever runs
    /// concurrently. Returns false if the grant does not exist or was already revoked.
    ///
    /// The owner is not checked. At a user's request call
    /// [`revoke_grant_of`](Self::revoke_grant_of).
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_grant(&self, grant_id: Uuid) -> Result<bool>;

    /// Revokes a grant if it belongs to the subject: "sign out this device". Returns false if it
    /// belongs to another subject, does not exist, or was already revoked.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_grant_of(&self, subject: &str, grant_id: Uuid) -> Result<bool>;

    /// Revokes every grant of a subject for a client and returns their number. The consent stays;
    /// [`withdraw_consent`](crate::ConsentStorage::withdraw_consent) ends both: "disconnect this
    /// application". Runs in batches, as [`revoke_subject`](Self::revoke_subject) does.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_grants_of(&self, subject: &str, client_id: &str) -> Result<u64>;

    /// Revokes every grant of a subject and returns their number. No grant stored before the call
    /// is active after it. A grant stored during the call counts as later.
    ///
    /// It runs in batches. Each is committed and holds locks only briefly; in a transaction of the
    /// application all of them commit with it. An error or a dropped future ends the operation
    /// after the current batch; call it again to continue.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)); with
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) if an earlier batch was committed.
    async fn revoke_subject(&self, subject: &str) -> Result<u64>;

    /// Revokes every grant of a client and returns their number. The client itself is unchanged.
    /// Runs in batches, as [`revoke_subject`](Self::revoke_subject) does.
    ///
    /// # Errors
    /// Fails as [`revoke_subject`](Self::revoke_subject) does.
    async fn revoke_client(&self, client_id: &str) -> Result<u64>;

    /// Deletes all rows that name a subject and returns the number of deleted grants. The rows of
    /// their tokens and codes contain no personal data; they are no longer found, and the purge
    /// removes them. Its consents and sessions, and a user in the shipped user table, are deleted as well. Runs in batches, as
    /// [`revoke_subject`](Self::revoke_subject) does.
    ///
    /// # Errors
    /// Fails as [`revoke_subject`](Self::revoke_subject) does.
    async fn erase_subject(&self, subject: &str) -> Result<u64>;

    /// Lists at most `limit` (1 to 1000) live grants of a subject, newest first: "your connected
    /// applications". Pass [`GrantPage::next`] as `after` to get the next page.
    ///
    /// The cost of a page is bounded, however many grants were revoked or have expired.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) if `limit` is out of range.
    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<GrantPage>;

    /// Removes up to `limit` (1 to 100,000) expired tokens and as many expired codes, records and
    /// sessions, the oldest first, and the grants that ended with the credentials. Several callers, on several nodes, share the
    /// work. Used codes and rotated tokens stay until they expire, because until then a second use
    /// must be distinguished from an unknown credential. [`purge`](crate::GrantStorageExt::purge)
    /// continues until nothing is left.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) if `limit` is out of range.
    async fn purge_expired(&self, limit: usize) -> Result<Purged>;
}

forward!(GrantStorage {
    fn redeem_authorization_code(&self, request: &RequestContext, redemption: CodeRedemption) -> Result<RedemptionOutcome>;
    fn rotate_refresh_token(&self, request: &RequestContext, rotation: TokenRotation) -> Result<RotationOutcome>;
    fn introspect(&self, token: &Secret) -> Result<Option<Token>>;
    fn get_grant(&self, grant_id: Uuid) -> Result<Option<Grant>>;
    fn revoke_grant(&self, grant_id: Uuid) -> Result<bool>;
    fn revoke_grant_of(&self, subject: &str, grant_id: Uuid) -> Result<bool>;
    fn revoke_grants_of(&self, subject: &str, client_id: &str) -> Result<u64>;
    fn revoke_subject(&self, subject: &str) -> Result<u64>;
    fn revoke_client(&self, client_id: &str) -> Result<u64>;
    fn erase_subject(&self, subject: &str) -> Result<u64>;
    fn list_grants(&self, subject: &str, after: Option<Uuid>, limit: usize) -> Result<GrantPage>;
    fn purge_expired(&self, limit: usize) -> Result<Purged>;
});
