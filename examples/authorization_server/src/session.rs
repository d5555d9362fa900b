//! Sessions of signed-in users, in the storage. A browser has none before its user signs in, so strangers
//! store nothing.

use std::time::Duration;

use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use oauth_storage::pending_request::NewPendingRequest;
use oauth_storage::user_session::{NewUserSession, StartedSession, UserSession};
use oauth_storage::{Secret, User};
use serde_json::{Map, Value};

use super::error::Result;
use super::{Server, digest};

/// The time in which a sign-in for a request counts as fresh.
const FRESH: Duration = Duration::from_mins(10);

/// The session of a browser.
pub(crate) struct Session {
    /// The secret of the cookie.
    secret: Secret,
    pub(crate) record: UserSession,
}

/// The name of a signed-in user and of their browser, for people.
pub(crate) fn details(username: &str, user_agent: Option<&str>) -> Map<String, Value> {
    let user_agent: String = user_agent.unwrap_or("An unknown browser").chars().take(200).collect();
    Map::from_iter([
        ("username".to_owned(), username.into()),
        ("user_agent".to_owned(), user_agent.into()),
    ])
}

/// A value of the details, for a page.
pub(crate) fn detail<'a>(session: &'a UserSession, name: &str) -> &'a str {
    session.details.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Session {
    /// The token in each form of this session, which no other site can read. It follows from the secret of the
    /// cookie, so it is stored nowhere.
    pub(crate) fn csrf_token(&self) -> Secret {
        self.derive("csrf", "")
    }

    /// The username that was entered.
    pub(crate) fn username(&self) -> &str {
        detail(&self.record, "username")
    }

    fn derive(&self, purpose: &str, text: &str) -> Secret {
        Secret::new(digest(&[purpose, self.secret.expose(), text]))
    }

    /// Notes for a while that the user signed in for this request: `prompt=login` and `max_age` ask for a new
    /// sign-in for each.
    pub(crate) async fn note_sign_in(&self, server: &Server, query: &str) -> Result<()> {
        let mut new = NewPendingRequest::new(Map::new(), FRESH)?;
        new.id = self.derive("sign-in", query);
        Ok(server.storage.suspend_request(new).await?)
    }

    /// Returns true if the user signed in for this request, and a moment ago: an open consent page does not stay
    /// a fresh sign-in.
    pub(crate) async fn is_fresh_for(&self, server: &Server, query: &str) -> Result<bool> {
        let id = self.derive("sign-in", query);
        Ok(server.storage.find_pending_request(&id).await?.is_some())
    }

    /// Forgets the sign-in for a request that is answered: the next one asks again.
    pub(crate) async fn forget_sign_in(&self, server: &Server, query: &str) -> Result<()> {
        server.storage.resume_request(&self.derive("sign-in", query)).await?;
        Ok(())
    }
}

impl Server {
    /// Over https no sibling domain can set the cookie (`__Host-`).
    fn cookie(&self) -> (&'static str, bool) {
        let is_secure = self.config.issuer.starts_with("https://");
        (if is_secure { "__Host-session" } else { "session" }, is_secure)
    }

    pub(crate) async fn session(&self, jar: &CookieJar) -> Result<Option<Session>> {
        let Some(cookie) = jar.get(self.cookie().0) else { return Ok(None) };
        let secret = Secret::new(cookie.value());
        let found = self.storage.find_session(&secret).await?;
        Ok(found.map(|record| Session { secret, record }))
    }

    /// Starts a session, or continues the browser's session of the same user. The secret is always new, so that
    /// somebody who planted one (session fixation) has no access. The session of another user ends.
    pub(crate) async fn sign_in(
        &self,
        jar: CookieJar,
        user: User,
        details: Map<String, Value>,
    ) -> Result<(CookieJar, Session)> {
        let (name, is_secure) = self.cookie();
        let mut started = None;
        if let Some(cookie) = jar.get(name) {
            let secret = Secret::new(cookie.value());
            started = self.storage.reauthenticate_session(&secret, user.clone()).await?;
            if started.is_none() {
                self.logout.notify(self.storage.end_session(&secret).await?);
            }
        }
        let StartedSession { secret, session: record } = match started {
            Some(started) => started,
            None => {
                self.storage.start_session(NewUserSession::new(user).with_details(details)).await?
            }
        };
        let cookie = Cookie::build((name, secret.expose().to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(is_secure);
        Ok((jar.add(cookie), Session { secret, record }))
    }

    /// Ends the session of the browser.
    pub(crate) async fn sign_out(&self, session: &Session) -> Result<()> {
        self.logout.notify(self.storage.end_session(&session.secret).await?);
        Ok(())
    }
}
