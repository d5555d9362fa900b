//! Browser sessions of signed-in users. A browser has none before its user signs in, so strangers
//! cannot fill the memory.
//!
//! Sessions are in the memory of this process, which is enough for an example. They are lost at a
//! restart; a server on several machines needs a shared store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use oauth_storage::backend::TokenHash;
use oauth_storage::error::Result;
use oauth_storage::{Secret, User};

const LIFETIME: Duration = Duration::from_hours(12);
/// The time in which a sign-in for a request counts as fresh.
const FRESH: Duration = Duration::from_mins(10);
const MAX_SESSIONS_PER_USER: usize = 20;

pub(crate) struct Sessions {
    /// By the digest of the secret identifier.
    sessions: Mutex<HashMap<TokenHash, Session>>,
    is_secure: bool,
}

/// A snapshot of a session.
#[derive(Clone)]
pub(crate) struct Session {
    id: Secret,
    /// The token in each form of this session, which no other site can read.
    pub(crate) csrf_token: Secret,
    pub(crate) sign_in: SignIn,
}

#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) user: User,
    /// The username that was entered.
    pub(crate) username: String,
    /// The time by the clock of this process, with which `max_age` is compared.
    pub(crate) at: Instant,
    /// The digest of the authorization request that the user signed in for, until it is answered:
    /// `prompt=login` and `max_age` ask for a new sign-in for each request.
    pub(crate) made_for: Option<TokenHash>,
}

impl SignIn {
    /// Returns true if the user signed in for this request, and a moment ago: an open consent page does
    /// not stay a fresh sign-in.
    pub(crate) fn is_fresh_for(&self, request: TokenHash) -> bool {
        self.made_for == Some(request) && self.at.elapsed() < FRESH
    }
}

impl Session {
    fn is_live(&self) -> bool {
        self.sign_in.at.elapsed() < LIFETIME
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
        session.filter(Session::is_live)
    }

    /// Starts a session in place of the browser's earlier one. The identifier is always new, so that
    /// somebody who planted one (session fixation) has no access.
    pub(crate) fn start(&self, jar: CookieJar, sign_in: SignIn) -> Result<CookieJar> {
        let (id, csrf_token) = (Secret::generate()?, Secret::generate()?);
        let cookie = Cookie::build((self.cookie_name(), id.expose().to_owned()))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure);
        let earlier = self.find(&jar);
        let session = Session { id, csrf_token, sign_in };
        let mut sessions = self.lock();
        if let Some(earlier) = earlier {
            sessions.remove(&earlier.id.digest());
        }
        make_room(&mut sessions, &session.sign_in.user.subject);
        sessions.insert(session.id.digest(), session);
        Ok(jar.add(cookie))
    }

    pub(crate) fn end(&self, session: &Session) {
        self.lock().remove(&session.id.digest());
    }

    /// Notes that a request is answered. If the user signed in for it, the next one asks again.
    pub(crate) fn answered(&self, session: &Session, request: TokenHash) {
        if let Some(own) = self.lock().get_mut(&session.id.digest()) {
            own.sign_in.made_for.take_if(|made_for| *made_for == request);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

/// Drops expired sessions and, at the limit, the oldest one of the user.
fn make_room(sessions: &mut HashMap<TokenHash, Session>, subject: &str) {
    sessions.retain(|_, session| session.is_live());
    let own = sessions.iter().filter(|(_, session)| session.sign_in.user.subject == subject);
    let mut own: Vec<_> = own.map(|(id, session)| (session.sign_in.at, *id)).collect();
    own.sort_unstable_by_key(|(at, _)| *at);
    let surplus = (own.len() + 1).saturating_sub(MAX_SESSIONS_PER_USER);
    for (_, id) in own.iter().take(surplus) {
        sessions.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(subject: &str, at: Instant) -> SignIn {
        SignIn { user: User::new(subject), username: subject.into(), at, made_for: None }
    }

    #[test]
    fn a_user_has_twenty_sessions_and_the_oldest_ends() {
        let sessions = Sessions::new("https://op.example");
        let at = Instant::now();
        let start = |subject, at| sessions.start(CookieJar::new(), sign_in(subject, at)).unwrap();
        let bob = start("bob", at.checked_sub(Duration::from_secs(60)).unwrap());
        let of_alice: Vec<_> =
            (0..21).map(|n| start("alice", at + Duration::from_millis(n))).collect();
        assert_eq!(sessions.len(), 21);
        assert!(sessions.find(&bob).is_some(), "another user's session stays");
        assert!(sessions.find(&of_alice[0]).is_none());
        assert!(of_alice[1..].iter().all(|jar| sessions.find(jar).is_some()));
        assert!(of_alice[0].get("__Host-session").unwrap().secure().unwrap());
    }

    #[test]
    fn a_sign_in_is_fresh_for_its_request_and_for_a_while() {
        let request = Secret::new("a").digest();
        let made_for = |at| SignIn { made_for: Some(request), ..sign_in("alice", at) };
        let now = Instant::now();
        assert!(made_for(now).is_fresh_for(request));
        assert!(!made_for(now).is_fresh_for(Secret::new("b").digest()));
        assert!(!made_for(now.checked_sub(FRESH).unwrap()).is_fresh_for(request));
        // Another answered request leaves it.
        let sessions = Sessions::new("http://127.0.0.1");
        let jar = sessions.start(CookieJar::new(), made_for(now)).unwrap();
        let session = sessions.find(&jar).unwrap();
        sessions.answered(&session, Secret::new("b").digest());
        assert!(sessions.find(&jar).unwrap().sign_in.made_for.is_some());
        sessions.answered(&session, request);
        assert!(sessions.find(&jar).unwrap().sign_in.made_for.is_none());
    }

    #[test]
    fn sessions_expire() {
        let sessions = Sessions::new("http://127.0.0.1");
        let at = Instant::now().checked_sub(LIFETIME).unwrap();
        let expired = sessions.start(CookieJar::new(), sign_in("alice", at)).unwrap();
        assert!(sessions.find(&expired).is_none());
        let _ = sessions.start(CookieJar::new(), sign_in("bob", Instant::now())).unwrap();
        assert_eq!(sessions.len(), 1, "the expired one is dropped");
    }

    #[test]
    fn a_new_sign_in_ends_the_earlier_session_of_the_browser() {
        let sessions = Sessions::new("http://127.0.0.1");
        let first = sessions.start(CookieJar::new(), sign_in("alice", Instant::now())).unwrap();
        let second = sessions.start(first.clone(), sign_in("alice", Instant::now())).unwrap();
        assert!(sessions.find(&first).is_none() && sessions.find(&second).is_some());
    }
}
