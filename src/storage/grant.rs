use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;
use crate::model::{Grant, Purged, Redeem, Redeemed, Rotate, Rotated, Token};
use crate::request::Request;
use crate::secret::Secret;

/// Grants that cannot be spent twice: the way to use this crate.
///
/// With the nine methods an exchange is a read, a write and a delete; between them another request
/// can do the same, and both succeed. Each operation here is one atomic act whose outcome says who
/// won.
///
/// ```
/// use oauth_storage::{
///     AuthorizationCodeStorage, ClientMetadata, ClientRegistry, CodeChallenge, GrantStorage,
///     MemoryStorage, NewAuthorizationCode, NewClient, Redeem, Redeemed, Request, Secret, User,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> oauth_storage::Result<()> {
/// # let storage = MemoryStorage::new();
/// # let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]).public();
/// # let client_id = storage.register_client(NewClient::new(metadata)).await?.client.client_id;
/// let (code, verifier) = (Secret::generate()?, Secret::generate()?);
/// let uri = "https://client.example/cb";
/// let mut new = NewAuthorizationCode::new(&client_id, "openid".parse()?, uri, code.clone());
/// new.code_challenge = Some(CodeChallenge::s256(&verifier));
/// storage.create_authorization_code(&Request::for_user(User::new("alice")), new).await?;
///
/// let redeem = Redeem {
///     code_verifier: Some(verifier),
///     refresh_token: Some(Secret::generate()?),
///     ..Redeem::new(&client_id, uri, code, Secret::generate()?)
/// };
/// match storage.redeem_authorization_code(&Request::default(), redeem.clone()).await? {
///     Redeemed::Issued(token) => assert_eq!(token.subject.as_deref(), Some("alice")),
///     Redeemed::Replayed { .. } | Redeemed::Invalid => unreachable!("answer invalid_grant"),
/// }
/// // A second time: denied, and what the first one got is revoked.
/// let again = storage.redeem_authorization_code(&Request::default(), redeem).await?;
/// assert!(matches!(again, Redeemed::Replayed { .. }));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait GrantStorage: Send + Sync {
    /// Exchanges an authorization code for an access token and, if given, a refresh token. Client,
    /// redirect URI, PKCE verifier and expiry are checked by the very act that spends the code
    /// (RFC 6749 4.1.3, RFC 7636 4.6). Lifetimes come from the request's settings; subject, scope
    /// and context from the code.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for new tokens that break the syntax or exist
    /// already, by field; the code is not spent then.
    async fn redeem_authorization_code(
        &self,
        request: &Request,
        redeem: Redeem,
    ) -> Result<Redeemed>;

    /// Exchanges a refresh token for a new pair (RFC 6749 6, RFC 9700 4.14.2). The new refresh
    /// token ends when the old one would have, and has its scope; the access token may have a
    /// narrower one. Access tokens issued before stay good until they expire.
    ///
    /// Inside the grace period ([`Settings::refresh_token_grace`](crate::Settings)) the old token
    /// can be exchanged again, so that a lost response logs nobody out. Each such exchange gives a
    /// pair of its own, all of the same grant.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) with `scope` and
    /// [`Problem::NotAllowed`](crate::Problem::NotAllowed) for a wider scope; for new tokens that
    /// break the syntax or exist already, by field. The refresh token is not spent then.
    async fn rotate_refresh_token(&self, request: &Request, rotate: Rotate) -> Result<Rotated>;

    /// The record of a token of either kind, if it is active; nothing for one that is unknown,
    /// expired, rotated or revoked, all alike (RFC 7662 2.2).
    ///
    /// # Errors
    /// None that depend on the token.
    async fn introspect(&self, token: &Secret) -> Result<Option<Token>>;

    /// Revokes a grant: each token of it, and its code if that was not yet used. Says how many
    /// were revoked. After it returns none is active, whatever ran at the same time. It does not ask
    /// whose the grant is: at a user's wish, look for it in their [`list_grants`](Self::list_grants)
    /// first.
    ///
    /// # Errors
    /// None that depend on the grant; one that is unknown has no tokens.
    async fn revoke_grant(&self, grant_id: Uuid) -> Result<u64>;

    /// Revokes every grant of a subject, as [`revoke_grant`](Self::revoke_grant) does. An
    /// authorization that is being stored at the same time counts as a later one.
    ///
    /// # Errors
    /// None that depend on the subject.
    async fn revoke_subject(&self, subject: &str) -> Result<u64>;

    /// Revokes every grant of a client, as [`revoke_grant`](Self::revoke_grant) does. The client
    /// itself stays as it is.
    ///
    /// # Errors
    /// None that depend on the client.
    async fn revoke_client(&self, client_id: &str) -> Result<u64>;

    /// Lists the grants of a subject that have an active token, by `grant_id` (for grants of this
    /// crate that is by age), at most `limit` (1 to 1000) of them, those after `after`. What an
    /// application shows as "your connected applications". A page shorter than `limit` is the last.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a `limit` out of range.
    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Grant>>;

    /// Removes up to `limit` (1 to 100,000) expired tokens and as many expired codes, the oldest
    /// first. Several callers at once, on several nodes, share the work. Used codes and rotated
    /// tokens stay until they expire, for until then a second use has to be told from an unknown
    /// one. To go on until nothing is left, see [`purge`](crate::purge).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a `limit` out of range.
    async fn purge_expired(&self, limit: usize) -> Result<Purged>;
}

forward!(GrantStorage {
    fn redeem_authorization_code(&self, request: &Request, redeem: Redeem) -> Result<Redeemed>;
    fn rotate_refresh_token(&self, request: &Request, rotate: Rotate) -> Result<Rotated>;
    fn introspect(&self, token: &Secret) -> Result<Option<Token>>;
    fn revoke_grant(&self, grant_id: Uuid) -> Result<u64>;
    fn revoke_subject(&self, subject: &str) -> Result<u64>;
    fn revoke_client(&self, client_id: &str) -> Result<u64>;
    fn list_grants(&self, subject: &str, after: Option<Uuid>, limit: usize) -> Result<Vec<Grant>>;
    fn purge_expired(&self, limit: usize) -> Result<Purged>;
});

/// Removes what has expired, batch by batch, until nothing is left or the callback says to stop;
/// gives the sum. The callback is told of each batch: to show progress, to pause, to give up.
///
/// The crate starts no thread by itself: call it from the application's own scheduler, on as many
/// nodes as you like.
///
/// ```
/// use std::ops::ControlFlow;
/// use oauth_storage::{MemoryStorage, purge};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> oauth_storage::Result<()> {
/// # let storage = MemoryStorage::new();
/// let purged = purge(&storage, 5_000, |batch| {
///     println!("{} tokens, {} codes", batch.tokens, batch.authorization_codes);
///     ControlFlow::Continue(())
/// })
/// .await?;
/// assert!(!purged.more);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`GrantStorage::purge_expired`], of the batch that failed: what it says, such as "nothing was
/// changed", it says of that one. What the callback was told of before stays removed. After any error
/// but [`Error::Invalid`](crate::Error::Invalid) it may be called again, and goes on where it was.
pub async fn purge<S: GrantStorage + ?Sized>(
    storage: &S,
    batch: usize,
    mut progress: impl FnMut(Purged) -> std::ops::ControlFlow<()> + Send,
) -> Result<Purged> {
    let mut sum = Purged::default();
    loop {
        let purged = storage.purge_expired(batch).await?;
        sum.tokens += purged.tokens;
        sum.authorization_codes += purged.authorization_codes;
        sum.more = purged.more;
        if progress(purged).is_break() || !purged.more {
            return Ok(sum);
        }
    }
}

/// Every live grant of a subject, by `grant_id`: [`GrantStorage::list_grants`] to its last page.
///
/// ```
/// use oauth_storage::{MemoryStorage, list_all_grants};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> oauth_storage::Result<()> {
/// # let storage = MemoryStorage::new();
/// for grant in list_all_grants(&storage, "248289761001").await? {
///     println!("{} may {}", grant.client_id, grant.scope);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`GrantStorage::list_grants`].
pub async fn list_all_grants<S: GrantStorage + ?Sized>(
    storage: &S,
    subject: &str,
) -> Result<Vec<Grant>> {
    const PAGE: usize = 100;
    let mut grants: Vec<Grant> = Vec::new();
    loop {
        let after = grants.last().map(|grant| grant.grant_id);
        let page = storage.list_grants(subject, after, PAGE).await?;
        let is_last = page.len() < PAGE;
        grants.extend(page);
        if is_last {
            return Ok(grants);
        }
    }
}

/// The bounds of a purge's batch.
pub(crate) fn check_batch(limit: usize) -> Result<i64> {
    match limit {
        1..=100_000 => Ok(i64::try_from(limit).unwrap_or(100_000)),
        _ => Err(crate::error::Error::invalid("limit", crate::error::Problem::OutOfRange)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient, NewToken, Scope};
    use crate::{TokenStorage, User};

    #[tokio::test]
    async fn all_grants_are_those_of_every_page() {
        let storage = MemoryStorage::new();
        let new = NewClient::new(ClientMetadata::client_credentials());
        let id = storage.register_client(new).await.unwrap().client.client_id;
        let alice = Request::for_user(User::new("alice"));
        for count in 1..=201 {
            let new = NewToken::new(&id, Scope::default(), Secret::generate().unwrap());
            storage.create_token(&alice, new).await.unwrap();
            if matches!(count, 1 | 99 | 100 | 101 | 200 | 201) {
                assert_eq!(list_all_grants(&storage, "alice").await.unwrap().len(), count);
            }
        }
        assert!(list_all_grants(&storage, "bob").await.unwrap().is_empty());
    }
}
