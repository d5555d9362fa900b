use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;
use crate::secret::Secret;
use crate::user::User;
use crate::user_session::{NewUserSession, SessionPage, SignOut, StartedSession, UserSession};

/// Storage of the sessions of users at the server.
///
/// A cookie holds the secret of a session; the storage keeps its digest. A grant that is made with
/// [`with_session`](crate::NewAuthorizationCode::with_session) belongs to the session. A sign-out revokes its
/// grants and returns the clients to notify.
///
/// ```
/// use oauth_storage::user_session::NewUserSession;
/// use oauth_storage::{
///     AuthorizationCodeStorage, ClientMetadata, ClientRegistry, MemoryStorage, NewAuthorizationCode,
///     NewClient, RequestContext, Secret, User, UserSessionStorage,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// # let storage = MemoryStorage::new();
/// # let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]).public();
/// # let client_id = storage.register_client(NewClient::new(metadata)).await?.client.client_id;
/// // After Alice has authenticated:
/// let user = User::new("alice").with_amr(vec!["pwd".into()]);
/// let cookie = storage.start_session(NewUserSession::new(user)).await?.secret;
///
/// // At the authorization endpoint:
/// let session = storage.find_session(&cookie).await?.expect("it is live");
/// let uri = "https://client.example/cb";
/// let new = NewAuthorizationCode::new(&client_id, "openid".parse()?, uri, Secret::generate()?)
///     .with_session(&session);
/// storage.create_authorization_code(&RequestContext::for_user(session.user()), new).await?;
///
/// // Alice signs out:
/// let signed_out = storage.end_session(&cookie).await?;
/// assert_eq!(signed_out.sessions[0].client_ids, [client_id]); // send each a logout token
/// assert_eq!(signed_out.revoked_grants, 1);
/// assert!(storage.find_session(&cookie).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait UserSessionStorage: Send + Sync {
    /// Starts a session, with a new secret for the cookie and a new `sid`. Call it at each sign-in: a cookie
    /// from before must not become that of a user (session fixation).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid;
    /// [`Error::Configuration`](crate::Error::Configuration) if the operating system provides no randomness.
    async fn start_session(&self, session: NewUserSession) -> Result<StartedSession>;

    /// Finds a live session by the secret of the cookie, and moves its idle end. Returns `None` if the session is
    /// unknown, has expired or has ended.
    ///
    /// The idle end is written only if it moves by a tenth of the idle time-out or more, so most calls only read,
    /// and a session can end up to a tenth earlier. If the write fails, as on a standby, the session is
    /// returned with its former end, and the next call tries again.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)).
    async fn find_session(&self, secret: &Secret) -> Result<Option<UserSession>>;

    /// Replaces the authentication of a live session, after the user has authenticated again: `auth_time`, `acr`
    /// and `amr`, with the values that [`start_session`](Self::start_session) takes from the user. The lifetimes
    /// begin again. The cookie gets a new secret, and the old one is not found any more; of any number of
    /// calls with one secret exactly one succeeds. `sid` and grants stay.
    ///
    /// Returns `None` if the session is not live, or if it belongs to another subject. Then start a session, and
    /// end the other one.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field, if a value is invalid;
    /// [`Error::Configuration`](crate::Error::Configuration) if the operating system provides no randomness.
    async fn reauthenticate_session(
        &self,
        secret: &Secret,
        user: User,
    ) -> Result<Option<StartedSession>>;

    /// Lists at most `limit` (1 to 1000) live sessions of a subject, newest first: "where you are signed in". Pass
    /// [`SessionPage::next`] as `after` to get the next page.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) if `limit` is out of range.
    async fn list_sessions(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<SessionPage>;

    /// Ends the session of a cookie: "sign out". Also one that has expired, as long as the purge has not removed it.
    ///
    /// When this returns the session is not found, its grants without the scope `offline_access` are revoked
    /// (OpenID Connect Back-Channel Logout 2.7), and no code can be stored for it, whatever runs
    /// concurrently. Each session is reported by one call; every other call returns no session.
    ///
    /// It runs in steps that are committed one by one: the session is marked, its grants are revoked in batches,
    /// and its row is deleted. After an error or a dropped future call it again: it continues, and reports
    /// every client. If nobody does, the purge revokes the rest after a minute, and the clients are not reported.
    ///
    /// # Errors
    /// Fails only if the storage does (see [`Error`](crate::Error)); with
    /// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) if an earlier step was committed.
    async fn end_session(&self, secret: &Secret) -> Result<SignOut>;

    /// Ends a session of a subject by its `sid`: "sign out there". Ends none of another subject. Otherwise as
    /// [`end_session`](Self::end_session).
    ///
    /// # Errors
    /// Fails as [`end_session`](Self::end_session) does.
    async fn end_session_of(&self, subject: &str, sid: Uuid) -> Result<SignOut>;

    /// Ends every session of a subject, or all but one: "sign out everywhere", "sign out everywhere else". A
    /// session that starts during the call counts as later. All sessions are marked first, so none of
    /// them is live while grants are revoked. Otherwise as [`end_session`](Self::end_session).
    ///
    /// Grants without a session stay: [`revoke_subject`](crate::GrantStorage::revoke_subject) revokes them, and
    /// ends no session.
    ///
    /// # Errors
    /// Fails as [`end_session`](Self::end_session) does.
    async fn end_sessions_of(&self, subject: &str, except: Option<Uuid>) -> Result<SignOut>;
}

forward!(UserSessionStorage {
    fn start_session(&self, session: NewUserSession) -> Result<StartedSession>;
    fn find_session(&self, secret: &Secret) -> Result<Option<UserSession>>;
    fn reauthenticate_session(&self, secret: &Secret, user: User) -> Result<Option<StartedSession>>;
    fn list_sessions(&self, subject: &str, after: Option<Uuid>, limit: usize) -> Result<SessionPage>;
    fn end_session(&self, secret: &Secret) -> Result<SignOut>;
    fn end_session_of(&self, subject: &str, sid: Uuid) -> Result<SignOut>;
    fn end_sessions_of(&self, subject: &str, except: Option<Uuid>) -> Result<SignOut>;
});
