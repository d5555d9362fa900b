//! Who sits at the browser, and what they were asked.
//!
//! Sessions are in this process's memory: enough for an example, gone at a restart. A server on
//! several machines keeps them where all of them look.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use oauth_storage::{Digest, Secret, Storage, User};

use super::Server;
use super::authorize::Authorization;
use super::error::{OAuthError, PageError};

const SIGNED_IN: Duration = Duration::from_hours(12);
const SIGNED_OUT: Duration = Duration::from_mins(30);
const MAX_SESSIONS: usize = 100_000;
const MAX_PENDING: usize = 8;

/// By the digest of their secret identifier, like every other secret.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Digest, Session>>);

/// A look at a session. What it says is checked against the map again when it is spent.
#[derive(Clone)]
pub(crate) struct Session {
    id: Secret,
    /// What every form of this session carries. Another site cannot read it.
    pub(crate) csrf_token: Secret,
    pub(crate) signed_in: Option<SignedIn>,
    pending: VecDeque<(String, Pending)>,
    expires_at: Instant,
}

#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) user: User,
    /// By this process's clock, for `max_age`.
    pub(crate) at: Instant,
}

/// An authorization request that waits for the user.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) authorization: Arc<Authorization>,
    /// Whether the user signed in on its behalf, as `prompt=login` and `max_age` can demand.
    pub(crate) signed_in_for_it: bool,
}

impl Pending {
    pub(crate) fn new(authorization: Authorization) -> Self {
        Self { authorization: Arc::new(authorization), signed_in_for_it: false }
    }
}

impl Session {
    fn new(
        signed_in: Option<SignedIn>,
        pending: VecDeque<(String, Pending)>,
    ) -> Result<Self, OAuthError> {
        let lifetime = if signed_in.is_some() { SIGNED_IN } else { SIGNED_OUT };
        Ok(Self {
            id: Secret::generate()?,
            csrf_token: Secret::generate()?,
            signed_in,
            pending,
            expires_at: Instant::now() + lifetime,
        })
    }

    /// Refuses a form that this session did not show.
    pub(crate) fn check(&self, csrf_token: &Secret) -> Result<(), PageError> {
        if self.csrf_token == *csrf_token { Ok(()) } else { Err(PageError::stale()) }
    }

    pub(crate) fn pending(&self, id: &str) -> Option<&Pending> {
        self.pending.iter().find(|(own, _)| own == id).map(|(_, pending)| pending)
    }
}

impl Sessions {
    pub(crate) fn find(&self, jar: &CookieJar) -> Option<Session> {
        let id = Secret::new([SECURE, PLAIN].iter().find_map(|name| jar.get(name))?.value());
        let sessions = self.lock();
        sessions.get(&id.digest()).filter(|session| session.expires_at > Instant::now()).cloned()
    }

    fn insert(&self, session: Session) -> Result<(), PageError> {
        let mut sessions = self.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, session| session.expires_at > Instant::now());
        }
        if sessions.len() >= MAX_SESSIONS {
            let message = "Too many people are here. Try again later.";
            return Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        sessions.insert(session.id.digest(), session);
        Ok(())
    }

    pub(crate) fn end(&self, session: &Session) {
        self.lock().remove(&session.id.digest());
    }

    /// Keeps a request while the user is asked, and gives the name to ask for it by.
    pub(crate) fn suspend(&self, session: &Session, pending: Pending) -> Result<String, PageError> {
        let id = Secret::generate()?.expose().to_owned();
        let mut sessions = self.lock();
        let own = sessions.get_mut(&session.id.digest()).ok_or_else(PageError::stale)?;
        own.pending.truncate(MAX_PENDING - 1);
        own.pending.push_front((id.clone(), pending));
        Ok(id)
    }

    /// Takes the request, for one of any number of answers.
    pub(crate) fn resume(&self, session: &Session, id: &str) -> Option<Pending> {
        let mut sessions = self.lock();
        let own = &mut sessions.get_mut(&session.id.digest())?.pending;
        let position = own.iter().position(|(own, _)| own == id)?;
        own.remove(position).map(|(_, pending)| pending)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Over https the cookie is the host's own, whatever a sibling domain sets.
const SECURE: &str = "__Host-session";
const PLAIN: &str = "session";

impl<S: Storage + 'static> Server<S> {
    /// The browser's session, or a new one of nobody.
    pub(crate) fn open_session(&self, jar: CookieJar) -> Result<(CookieJar, Session), PageError> {
        match self.sessions.find(&jar) {
            Some(session) => Ok((jar, session)),
            None => self.start_session(jar, Session::new(None, VecDeque::new())?),
        }
    }

    /// The session of a user who has just signed in: a new one, so that whoever knew the old
    /// identifier knows nothing now. What was pending goes on.
    pub(crate) fn sign_in(
        &self,
        jar: CookieJar,
        old: &Session,
        user: User,
        request: Option<&str>,
    ) -> Result<CookieJar, PageError> {
        self.sessions.end(old);
        let mut pending = old.pending.clone();
        for (id, pending) in &mut pending {
            pending.signed_in_for_it = request == Some(id);
        }
        let signed_in = SignedIn { user, at: Instant::now() };
        Ok(self.start_session(jar, Session::new(Some(signed_in), pending)?)?.0)
    }

    fn start_session(
        &self,
        jar: CookieJar,
        session: Session,
    ) -> Result<(CookieJar, Session), PageError> {
        let secure = self.config.issuer.starts_with("https://");
        let name = if secure { SECURE } else { PLAIN };
        let cookie = Cookie::build((name, session.id.expose().to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(secure);
        self.sessions.insert(session.clone())?;
        Ok((jar.add(cookie), session))
    }
}
