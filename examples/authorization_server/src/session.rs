//! Sessions of signed-in users, in the storage. A browser has none before its user signs in, so strangers
//! store nothing.

use std::time::Duration;

use axum_extra::extract::CookieJar;
use oauth_storage::User;
use oauth_storage::pending_request::NewPendingRequest;
use oauth_storage::user_session::{NewUserSession, UserSession};
pub(crate) use oauth_storage_axum::BrowserSession as Session;
use serde_json::{Map, Value};

use super::Server;
use super::error::Result;

/// The time in which a sign-in for a request counts as fresh.
const FRESH: Duration = Duration::from_mins(10);

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

impl Server {
    pub(crate) async fn session(&self, jar: &CookieJar) -> Result<Option<Session>> {
        Ok(self.cookie.find(&self.storage, jar).await?)
    }

    pub(crate) async fn sign_in(
        &self,
        jar: CookieJar,
        user: User,
        details: Map<String, Value>,
    ) -> Result<(CookieJar, Session)> {
        let new = NewUserSession::new(user).with_details(details);
        let (jar, session, ended) = self.cookie.sign_in(&self.storage, jar, new).await?;
        self.logout.notify(ended);
        Ok((jar, session))
    }

    /// Ends the session of the browser.
    pub(crate) async fn sign_out(&self, session: &Session) -> Result<()> {
        self.logout.notify(self.storage.end_session(&session.secret).await?);
        Ok(())
    }

    /// Notes for a while that the user signed in for this request: `prompt=login` and `max_age` ask for a new
    /// sign-in for each.
    pub(crate) async fn note_sign_in(&self, session: &Session, query: &str) -> Result<()> {
        let mut new = NewPendingRequest::new(Map::new(), FRESH)?;
        new.id = session.derive("sign-in", query);
        Ok(self.storage.suspend_request(new).await?)
    }

    /// Returns true if the user signed in for this request, and a moment ago: an open consent page does not stay
    /// a fresh sign-in.
    pub(crate) async fn is_fresh(&self, session: &Session, query: &str) -> Result<bool> {
        let id = session.derive("sign-in", query);
        Ok(self.storage.find_pending_request(&id).await?.is_some())
    }

    /// Forgets the sign-in for a request that is answered: the next one asks again.
    pub(crate) async fn forget_sign_in(&self, session: &Session, query: &str) -> Result<()> {
        self.storage.resume_request(&session.derive("sign-in", query)).await?;
        Ok(())
    }
}
