//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): tells clients that a session has ended.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::RequestContext;
use oauth_storage::jwt::NewLogoutToken;
use oauth_storage::user_session::{EndedSession, SignOut};

use super::Server;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The client that sends logout tokens. A redirect could lead into the network of this server.
pub(crate) fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()
}

impl Server {
    /// Sends logout tokens to the clients of the ended sessions. Nobody waits for them: a failure is logged.
    pub(crate) fn tell_clients(self: &Arc<Self>, signed_out: SignOut) {
        for session in signed_out.sessions {
            let server = Arc::clone(self);
            tokio::spawn(async move {
                for client_id in &session.client_ids {
                    if let Err(error) = server.tell_client(&session, client_id).await {
                        tracing::warn!(client_id, error, "a client was not notified of a logout");
                    }
                }
            });
        }
    }

    async fn tell_client(&self, session: &EndedSession, client_id: &str) -> Result<(), Failure> {
        let client = self.storage.get_client(&RequestContext::default(), client_id, None).await?;
        let Some(client) = client else { return Ok(()) };
        // Only https, or http on this machine.
        let Some(uri) = client.metadata.backchannel_logout_uri()? else { return Ok(()) };
        let sid = session.sid.to_string();
        let new = NewLogoutToken::new(client_id)
            .with_subject(session.subject.as_str())
            .with_sid(sid.as_str())
            .with_signing_alg(self.signing_alg(&client));
        let form = [("logout_token", self.signer.sign_logout_token(&new)?)];
        self.http.post(uri).form(&form).send().await?.error_for_status()?;
        Ok(())
    }
}
