use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::MemoryStorage;
use super::state::{State, after};
use crate::check::check_limit;
use crate::error::{Error, InvalidReason, Result};
use crate::secret::{Secret, TokenHash};
use crate::settings::OFFLINE_ACCESS;
use crate::user::User;
use crate::user_session::{
    EndedSession, MAX_SESSION_CLIENTS, NewUserSession, SessionPage, SignOut, StartedSession,
    UserSession, UserSessionStorage, auth_time, check_authentication,
};

/// A session; the key is its `sid`.
#[derive(Clone)]
pub(super) struct SessionRow {
    digest: TokenHash,
    lifetime: Duration,
    idle_timeout: Option<Duration>,
    pub(super) session: UserSession,
    /// The clients that got a grant in the session.
    client_ids: BTreeSet<String>,
}

impl SessionRow {
    pub(super) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.session.expires_at > now
    }

    pub(super) fn note_client(&mut self, client_id: &str) {
        if self.client_ids.len() < MAX_SESSION_CLIENTS {
            self.client_ids.insert(client_id.to_owned());
        }
    }

    /// Starts the lifetimes, for a user who has authenticated.
    fn begin(&mut self, user: User, now: DateTime<Utc>) {
        let session = &mut self.session;
        session.auth_time = auth_time(&user).map_or(now, |time| time.min(now));
        session.absolute_expires_at = after(now, self.lifetime);
        session.expires_at =
            after(now, self.idle_timeout.unwrap_or(self.lifetime)).min(session.absolute_expires_at);
        session.acr = user.acr;
        session.amr = user.amr;
    }

    /// Moves the idle end if it is due.
    fn use_now(&mut self, now: DateTime<Utc>) {
        let (Some(idle_timeout), session) = (self.idle_timeout, &mut self.session) else { return };
        let end = after(now, idle_timeout).min(session.absolute_expires_at);
        let due = after(session.expires_at, idle_timeout / 10).min(session.absolute_expires_at);
        if end >= due && end > session.expires_at {
            session.expires_at = end;
        }
    }
}

impl State {
    fn live_session(&mut self, secret: &Secret) -> Option<&mut SessionRow> {
        if !secret.is_well_formed() {
            return None;
        }
        let (now, digest) = (self.now(), secret.digest());
        self.sessions.values_mut().find(|row| row.digest == digest && row.is_live(now))
    }

    /// Fails if the subject has no such live session.
    pub(super) fn check_session(&self, sid: Uuid, subject: Option<&str>) -> Result<()> {
        let now = self.now();
        let found = self
            .sessions
            .get(&sid)
            .is_some_and(|row| row.is_live(now) && Some(row.session.subject.as_str()) == subject);
        if found { Ok(()) } else { Err(Error::invalid("session", InvalidReason::Unknown)) }
    }

    /// Ends the sessions that match, and revokes their grants without `offline_access`.
    fn end_sessions(&mut self, matches: impl Fn(&SessionRow) -> bool) -> SignOut {
        let mut sign_out = SignOut::default();
        let sids: Vec<Uuid> =
            self.sessions.iter().filter(|(_, row)| matches(row)).map(|(sid, _)| *sid).collect();
        for sid in sids {
            let Some(row) = self.sessions.remove(&sid) else { continue };
            let name = sid.to_string();
            let of_session = self.grants.values().filter(|g| g.context.sid.as_ref() == Some(&name));
            let client_ids = of_session.map(|grant| grant.client_id.clone()).chain(row.client_ids);
            sign_out.sessions.push(EndedSession::new(sid, row.session.subject, client_ids));
            sign_out.revoked_grants += self.revoke_grants(|_, grant| {
                grant.context.sid.as_ref() == Some(&name) && !grant.scope.contains(OFFLINE_ACCESS)
            });
        }
        sign_out
    }
}

#[async_trait]
impl UserSessionStorage for MemoryStorage {
    async fn start_session(&self, session: NewUserSession) -> Result<StartedSession> {
        session.check()?;
        let secret = Secret::generate_unnamed()?;
        let mut state = self.state().await;
        let now = state.now();
        let sid = Uuid::now_v7();
        let mut row = SessionRow {
            digest: secret.digest(),
            lifetime: session.lifetime,
            idle_timeout: session.idle_timeout,
            session: UserSession {
                sid,
                subject: session.user.subject.clone(),
                created_at: now,
                auth_time: now,
                acr: None,
                amr: Vec::new(),
                expires_at: now,
                absolute_expires_at: now,
                details: session.details,
            },
            client_ids: BTreeSet::new(),
        };
        row.begin(session.user, now);
        let session = row.session.clone();
        state.sessions.insert(sid, row);
        Ok(StartedSession { secret, session })
    }

    async fn find_session(&self, secret: &Secret) -> Result<Option<UserSession>> {
        let mut state = self.state().await;
        let now = state.now();
        Ok(state.live_session(secret).map(|row| {
            row.use_now(now);
            row.session.clone()
        }))
    }

    async fn reauthenticate_session(
        &self,
        secret: &Secret,
        user: User,
    ) -> Result<Option<StartedSession>> {
        check_authentication(&user)?;
        let new = Secret::generate_unnamed()?;
        let mut state = self.state().await;
        let now = state.now();
        let found = state.live_session(secret).filter(|row| row.session.subject == user.subject);
        Ok(found.map(|row| {
            row.begin(user, now);
            row.digest = new.digest();
            StartedSession { secret: new, session: row.session.clone() }
        }))
    }

    async fn list_sessions(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<SessionPage> {
        check_limit(limit)?;
        let state = self.state().await;
        let now = state.now();
        let before = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut live = state
            .sessions
            .range((Bound::Unbounded, before))
            .rev()
            .filter(|(_, row)| row.session.subject == subject && row.is_live(now))
            .map(|(_, row)| row.session.clone());
        let sessions: Vec<UserSession> = live.by_ref().take(limit).collect();
        let last = sessions.last().map(|session| session.sid);
        Ok(SessionPage { next: last.filter(|_| live.next().is_some()), sessions })
    }

    async fn end_session(&self, secret: &Secret) -> Result<SignOut> {
        if !secret.is_well_formed() {
            return Ok(SignOut::default());
        }
        let digest = secret.digest();
        Ok(self.state().await.end_sessions(|row| row.digest == digest))
    }

    async fn end_session_of(&self, subject: &str, sid: Uuid) -> Result<SignOut> {
        Ok(self.state().await.end_sessions(|SessionRow { session, .. }| {
            session.sid == sid && session.subject == subject
        }))
    }

    async fn end_sessions_of(&self, subject: &str, except: Option<Uuid>) -> Result<SignOut> {
        Ok(self.state().await.end_sessions(|SessionRow { session, .. }| {
            session.subject == subject && Some(session.sid) != except
        }))
    }
}
