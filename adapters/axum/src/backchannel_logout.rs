use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oauth_storage::jwt::{IdTokenSigner, NewLogoutToken};
use oauth_storage::user_session::{EndedSession, SignOut};
use oauth_storage::{RequestContext, Storage};
use tokio::task::JoinSet;

/// The number of clients of a session that are notified at the same time.
const AT_ONCE: usize = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends logout tokens to the clients of sessions that have ended (OpenID Connect Back-Channel Logout 1.0).
///
/// A token goes to the `backchannel_logout_uri` of the client, which must be an `https` address. It follows no redirect,
/// and waits five seconds. **It does not check that the address is outside your network**, of which a service with a
/// certificate that this machine trusts could be reached.
///
/// ```no_run
/// use std::sync::Arc;
/// use oauth_storage::jwt::IdTokenSigner;
/// use oauth_storage::{Secret, Storage};
/// use oauth_storage_axum::BackchannelLogout;
///
/// async fn sign_out(
///     storage: Arc<dyn Storage>,
///     signer: Arc<IdTokenSigner>,
///     cookie: &Secret,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let logout = BackchannelLogout::new(Arc::clone(&storage), signer)?;
///     logout.notify(storage.end_session(cookie).await?);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct BackchannelLogout {
    storage: Arc<dyn Storage>,
    signer: Arc<IdTokenSigner>,
    http: reqwest::Client,
    allows_loopback: bool,
}

impl BackchannelLogout {
    /// A sender with the signer of the ID tokens.
    ///
    /// # Errors
    /// Fails if the system has no randomness for the TLS client.
    pub fn new(
        storage: Arc<dyn Storage>,
        signer: Arc<IdTokenSigner>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // A redirect could lead into the network of this server.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        Ok(Self { storage, signer, http, allows_loopback: false })
    }

    /// Also sends to `http` addresses of this machine, as clients register them in development. A stranger could
    /// register the address of any service on this machine.
    #[must_use]
    pub fn with_loopback(mut self, allows: bool) -> Self {
        self.allows_loopback = allows;
        self
    }

    /// Notifies the clients of the ended sessions, in tasks. Nobody waits for them: a failure is logged.
    pub fn notify(&self, signed_out: SignOut) {
        for session in signed_out.sessions {
            tokio::spawn(self.clone().notify_all(session));
        }
    }

    /// A client that does not respond delays no other one, unless there are as many as are notified at once.
    async fn notify_all(self, session: EndedSession) {
        let (sender, session) = (Arc::new(self), Arc::new(session));
        let mut tasks = JoinSet::new();
        for client_id in session.client_ids.clone() {
            if tasks.len() >= AT_ONCE {
                tasks.join_next().await;
            }
            let (sender, session) = (Arc::clone(&sender), Arc::clone(&session));
            tasks.spawn(async move {
                if let Err(error) = sender.notify_client(&session, &client_id).await {
                    tracing::warn!(client_id, error, "a client was not notified of a logout");
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn notify_client(&self, session: &EndedSession, client_id: &str) -> Result<(), Failure> {
        let client = self.storage.get_client(&RequestContext::default(), client_id, None).await?;
        let Some(client) = client else { return Ok(()) };
        let Some(uri) = client.metadata.backchannel_logout_uri()? else { return Ok(()) };
        if !self.allows_loopback && !uri.starts_with("https://") {
            return Err("its address is on this machine, which is not allowed".into());
        }
        let (sid, keys) = (session.sid.to_string(), self.signer.keys());
        // That of a key that is gone cannot be used.
        let signing_alg = client.id_token_signing_alg().ok().flatten();
        let signing_alg = signing_alg.filter(|own| keys.active(Some(*own)).is_some());
        let new = NewLogoutToken::new(client_id)
            .with_subject(session.subject.as_str())
            .with_sid(sid.as_str())
            .with_signing_alg(signing_alg);
        let form = [("logout_token", self.signer.sign_logout_token(&new)?)];
        self.http.post(uri).form(&form).send().await?.error_for_status()?;
        Ok(())
    }
}

impl fmt::Debug for BackchannelLogout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackchannelLogout").finish_non_exhaustive()
    }
}
