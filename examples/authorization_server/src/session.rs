//! Browser sessions: the signed-in user, and the authorization requests that wait for them.
//!
//! Sessions are in the memory of this process, which is enough for an example. They are lost at a
//! restart; a server on several machines needs a shared store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use oauth_storage::backend::TokenHash;
use oauth_storage::{Secret, User};
use serde::Deserialize;

use super::Server;
use super::authorize::Authorization;
use super::error::{OAuthError, PageError, PageResult};

const SIGNED_IN: Duration = Duration::from_hours(12);
const SIGNED_OUT: Duration = Duration::from_mins(30);
const MAX_SESSIONS: usize = 10_000;
const MAX_PENDING: usize = 8;

pub(crate) struct Sessions {
    /// By the digest of the secret identifier.
    sessions: Mutex<HashMap<TokenHash, Session>>,
    is_secure: bool,
}

type Pending = Arc<Authorization>;

/// A snapshot of a session.
#[derive(Clone)]
pub(crate) struct Session {
    id: Secret,
    /// The token in each form of this session, which no other site can read.
    pub(crate) csrf_token: Secret,
    pub(crate) sign_in: Option<SignIn>,
    /// Authorization requests that wait for the user, the newest first.
    pending: VecDeque<Pending>,
    expires_at: Instant,
}

/// A sign-in: the user, the time by the clock of this process, and the request it was for, which
/// `prompt=login` and `max_age` depend on.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) user: User,
    pub(crate) at: Instant,
    pub(crate) request: Option<String>,
}

impl Session {
    pub(crate) fn pending(&self, id: &str) -> Option<&Pending> {
        self.pending.iter().find(|authorization| authorization.id == id)
    }
}

impl Sessions {
    pub(crate) fn new(issuer: &str) -> Self {
        Self { sessions: Mutex::default(), is_secure: issuer.starts_with("https://") }
    }

    /// Over https no sibling domain can set the cookie (`__Host-`).
    fn cookie_name(&self) -> &'static str {
        if self.is_secure { "__Host-session" } else { "session" }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, jar: &CookieJar) -> Option<Session> {
        let id = Secret::new(jar.get(self.cookie_name())?.value());
        let session = self.lock().get(&id.digest()).cloned();
        session.filter(|session| session.expires_at > Instant::now())
    }

    /// Returns the browser's session, or starts one without a user.
    pub(crate) fn open(&self, jar: CookieJar) -> PageResult<(CookieJar, Session)> {
        match self.find(&jar) {
            Some(session) => Ok((jar, session)),
            None => self.start(jar, None, VecDeque::new()),
        }
    }

    /// Replaces the session after a sign-in, so that somebody who knew the old identifier (session
    /// fixation) has no access. Pending requests move to the new session.
    pub(crate) fn sign_in(
        &self,
        jar: CookieJar,
        old: &Session,
        sign_in: SignIn,
    ) -> PageResult<CookieJar> {
        let pending = self.end(old).ok_or_else(PageError::stale)?.pending;
        Ok(self.start(jar, Some(sign_in), pending)?.0)
    }

    /// Ends the session, and returns its last state.
    pub(crate) fn end(&self, session: &Session) -> Option<Session> {
        self.lock().remove(&session.id.digest())
    }

    fn start(
        &self,
        jar: CookieJar,
        sign_in: Option<SignIn>,
        pending: VecDeque<Pending>,
    ) -> PageResult<(CookieJar, Session)> {
        let (id, csrf_token) = (Secret::generate()?, Secret::generate()?);
        let now = Instant::now();
        let expires_at = now + if sign_in.is_some() { SIGNED_IN } else { SIGNED_OUT };
        let cookie = Cookie::build((self.cookie_name(), id.expose().to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure);
        let session = Session { id, csrf_token, sign_in, pending, expires_at };
        let mut sessions = self.lock();
        // At the limit, sessions without a user are dropped, never those of users.
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, own| own.sign_in.is_some() && own.expires_at > now);
        }
        sessions.insert(session.id.digest(), session.clone());
        Ok((jar.add(cookie), session))
    }

    /// Keeps a request while the user signs in and agrees.
    pub(crate) fn suspend(&self, session: &Session, pending: Pending) -> PageResult<()> {
        let mut sessions = self.lock();
        let own = sessions.get_mut(&session.id.digest()).ok_or_else(PageError::stale)?;
        own.pending.truncate(MAX_PENDING - 1);
        own.pending.push_front(pending);
        Ok(())
    }

    /// Removes the request, so that it is answered only once.
    pub(crate) fn resume(&self, session: &Session, id: &str) -> PageResult<Pending> {
        let mut sessions = self.lock();
        let own = sessions.get_mut(&session.id.digest()).map(|session| &mut session.pending);
        let taken = own.and_then(|own| own.remove(own.iter().position(|own| own.id == id)?));
        taken.ok_or_else(PageError::stale)
    }
}

/// A form with the CSRF token of the browser's session.
pub(crate) struct SessionForm(pub(crate) Session, pub(crate) Fields);

/// The fields of all forms.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    csrf_token: Secret,
    pub(crate) request: Option<String>,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) decision: String,
    pub(crate) client_id: String,
}

impl FromRequest<Arc<Server>> for SessionForm {
    type Rejection = PageError;

    async fn from_request(request: Request, server: &Arc<Server>) -> PageResult<Self> {
        let session = server.sessions.find(&CookieJar::from_headers(request.headers()));
        let fields = Form::<Fields>::from_request(request, server).await;
        let Form(fields) = fields.map_err(OAuthError::from)?;
        let session = session.filter(|session| session.csrf_token == fields.csrf_token);
        Ok(Self(session.ok_or_else(PageError::stale)?, fields))
    }
}
