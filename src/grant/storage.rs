use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;
use crate::grant::{
    CodeRedemption, Grant, GrantPage, Purged, RedemptionOutcome, RotationOutcome, TokenRotation,
};
use crate::request::RequestContext;
use crate::secret::Secret;
use crate::token::Token;

/// Grants: the exchanges that spend a credential exactly once, and revocation.
///
/// With the nine methods an exchange is a read, a write and a delete. Between them another request
/// can do the same, and both succeed. Each operation here is one atomic act whose outcome says who
/// won.
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
/// // A second time: refused, and the grant is revoked.
/// let again = storage.redeem_authorization_code(&RequestContext::default(), redemption).await?;
/// assert!(matches!(again, RedemptionOutcome::Replayed { .. }));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait GrantStorage: Send + Sync {
    /// Exchanges an authorization code for an access token and, if requested, a refresh token.
    /// Client, redirect URI, PKCE verifier and expiry are checked by the act that spends the code
    /// (RFC 6749 4.1.3, RFC 7636 4.6). Lifetimes come from the request's settings; subject, scope
    /// and context from the grant. A replay revokes the grant in the same act.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with the field's name if a lifetime of the
    /// settings is out of range, or if given tokens break the syntax, exist already or name another
    /// grant. The code is not spent then. Otherwise fails only if the storage does.
    async fn redeem_authorization_code(
        &self,
        request: &RequestContext,
        redemption: CodeRedemption,
    ) -> Result<RedemptionOutcome>;

    /// Exchanges a refresh token for a new pair (RFC 6749 6, RFC 9700 4.14.2). The new refresh token
    /// has the scope and the absolute end of the old one; the access token may have a narrower
    /// scope. Nothing outlives the absolute end, so near it the lifetime of the access token is shorter
    /// than [`Settings::access_token_expires_in`](crate::Settings). Access tokens issued before stay
    /// active until they expire. A reuse revokes the grant in the same act.
    ///
    /// Inside the grace period ([`Settings::refresh_token_grace`](crate::Settings)) the old token
    /// can be exchanged again, so that a lost response logs nobody out. Each such exchange gives a
    /// pair of its own, all of the same grant.
    ///
    /// With an idle lifetime ([`Settings::refresh_token_idle_expires_in`](crate::Settings)) the new
    /// refresh token ends that long from now, or at the absolute end if that is earlier.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `scope` and
    /// [`InvalidReason::NotAllowed`](crate::error::InvalidReason::NotAllowed) for a wider scope, with `refresh_token` and
    /// [`InvalidReason::Missing`](crate::error::InvalidReason::Missing) for a given pair without one, and with the field's
    /// name if a lifetime of the settings is out of range, or if given tokens break the syntax, exist
    /// already or name another grant. The refresh token is not spent then. Otherwise fails only if the
    /// storage does.
    async fn rotate_refresh_token(
        &self,
        request: &RequestContext,
        rotation: TokenRotation,
    ) -> Result<RotationOutcome>;

    /// Finds an active token of either kind. `None` for a token that is unknown, expired, rotated or
    /// revoked, without telling which (RFC 7662 2.2).
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn introspect(&self, token: &Secret) -> Result<Option<Token>>;

    /// Finds a grant, in whatever state.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn get_grant(&self, grant_id: Uuid) -> Result<Option<Grant>>;

    /// Revokes a grant: no credential of it is active after this returns, whatever runs at the same
    /// time. Returns false if there was no such grant, or it was revoked before.
    ///
    /// It does not check whose grant it is. At a user's request call
    /// [`revoke_grant_of`](Self::revoke_grant_of).
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_grant(&self, grant_id: Uuid) -> Result<bool>;

    /// Revokes a grant if it belongs to the subject: "sign out this device". Returns false if it
    /// belongs to another subject, does not exist, or was revoked before.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_grant_of(&self, subject: &str, grant_id: Uuid) -> Result<bool>;

    /// Revokes every grant of a subject for a client, and returns how many: "disconnect this
    /// application". In batches, as [`revoke_subject`](Self::revoke_subject).
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn revoke_grants_of(&self, subject: &str, client_id: &str) -> Result<u64>;

    /// Revokes every grant of a subject, and returns how many. None that was stored before the call
    /// is active after it; one that is stored meanwhile counts as later.
    ///
    /// It runs in batches. Each is committed and holds no lock for long; in a transaction of the
    /// application all of them commit with it. An error or a dropped future ends the operation after
    /// the current batch; call it again to continue.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)), with
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) where a batch was committed before.
    async fn revoke_subject(&self, subject: &str) -> Result<u64>;

    /// Revokes every grant of a client, and returns how many. The client itself stays as it is. In
    /// batches, as [`revoke_subject`](Self::revoke_subject).
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    async fn revoke_client(&self, client_id: &str) -> Result<u64>;

    /// Deletes everything that names a subject, and returns how many grants that were. Their tokens
    /// and codes hold no personal data, are not found after this, and leave with the purge. A user of
    /// the shipped user table is deleted as well. In batches, as
    /// [`revoke_subject`](Self::revoke_subject).
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    async fn erase_subject(&self, subject: &str) -> Result<u64>;

    /// Lists the live grants of a subject, the newest first, at most `limit` (1 to 1000) of them:
    /// "your connected applications". Pass [`GrantPage::next`] as `after` to get the next page.
    ///
    /// The cost of a page is bounded, whatever was revoked or has expired.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) if `limit` is out of range.
    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<GrantPage>;

    /// Removes up to `limit` (1 to 100,000) expired tokens and as many expired codes, the oldest
    /// first, and the grants that ended with them. Several callers, on several nodes, share the work.
    /// Used codes and rotated tokens stay until they expire, because until then a second use has to
    /// be told from an unknown credential. [`purge`](crate::GrantStorageExt::purge) continues until nothing is left.
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
