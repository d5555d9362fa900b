//! [`UserSessionStorage`] for PostgreSQL.

mod end;
mod remove;
mod statements;

use async_trait::async_trait;
use uuid::Uuid;

use self::statements::{FindSession, Reauthenticate, StartSession, UseSession};
use crate::check::{check_limit, check_subject};
use crate::error::Result;
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::telemetry::observe;
use crate::secret::Secret;
use crate::user::User;
use crate::user_session::{
    NewUserSession, SessionPage, SignOut, StartedSession, UserSession, UserSessionStorage,
    check_authentication,
};

/// The number of sessions that a page scans beyond its size, if they are no longer live: about a
/// millisecond.
const SCAN: i64 = 1_000;

#[async_trait]
impl<C: Connections> UserSessionStorage for PgStorage<C> {
    async fn start_session(&self, session: NewUserSession) -> Result<StartedSession> {
        observe!(self, start_session on user_session)
            .run(async {
                session.check()?;
                let secret = Secret::generate_unnamed()?;
                let start = StartSession::new(secret.digest(), session);
                let session = self.connections.run(start).await?;
                Ok(StartedSession { secret, session })
            })
            .await
    }

    async fn find_session(&self, secret: &Secret) -> Result<Option<UserSession>> {
        observe!(self, find_session on user_session)
            .run(async {
                if !secret.is_well_formed() {
                    return Ok(None);
                }
                let find = FindSession(secret.digest());
                let Some(mut found) = self.connections.run(find).await? else { return Ok(None) };
                if found.is_due {
                    // Rare, so boxed: the future stays small.
                    let used = Box::pin(self.connections.run(UseSession(found.session.sid))).await;
                    match used {
                        Ok(Some(expires_at)) => found.session.expires_at = expires_at,
                        // Another call has moved it, or the session has ended since.
                        Ok(None) => {}
                        Err(error) => {
                            tracing::debug!(%error, "the idle end of a session was not moved");
                        }
                    }
                }
                Ok(Some(found.session))
            })
            .await
    }

    async fn reauthenticate_session(
        &self,
        secret: &Secret,
        user: User,
    ) -> Result<Option<StartedSession>> {
        observe!(self, reauthenticate_session on user_session)
            .run(async {
                check_authentication(&user)?;
                if !secret.is_well_formed() {
                    return Ok(None);
                }
                let new = Secret::generate_unnamed()?;
                let change = Reauthenticate::new(secret.digest(), new.digest(), user);
                let session = self.connections.run(change).await?;
                Ok(session.map(|session| StartedSession { secret: new, session }))
            })
            .await
    }

    async fn list_sessions(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<SessionPage> {
        observe!(self, list_sessions on user_session, subject)
            .run(self.list_live_sessions(subject, after, limit))
            .await
    }

    async fn end_session(&self, secret: &Secret) -> Result<SignOut> {
        observe!(self, end_session on user_session)
            .run(self.end_session_with("end_session", secret))
            .await
    }

    async fn end_session_of(&self, subject: &str, sid: Uuid) -> Result<SignOut> {
        observe!(self, end_session_of on user_session, subject)
            .run(self.end_session_of_subject("end_session_of", subject, sid))
            .await
    }

    async fn end_sessions_of(&self, subject: &str, except: Option<Uuid>) -> Result<SignOut> {
        observe!(self, end_sessions_of on user_session, subject)
            .run(self.end_sessions_of_subject("end_sessions_of", subject, except))
            .await
    }
}

impl<C: Connections> PgStorage<C> {
    async fn list_live_sessions(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<SessionPage> {
        let asked = check_limit(limit)?;
        if check_subject(subject).is_err() {
            return Ok(SessionPage::default());
        }
        let mut call = self.connections.begin(Effect::Read).await?;
        let rows = call
            .statement(|connection| {
                sqlx::query_file!(
                    "src/postgres/sql/list_sessions.sql",
                    subject,
                    after,
                    SCAN + asked,
                    asked + 1,
                )
                .fetch_all(connection)
            })
            .await?;
        let mut page = SessionPage::default();
        for row in rows {
            if page.sessions.len() == limit {
                page.next = page.sessions.last().map(|session| session.sid);
                break;
            }
            if row.is_bound {
                page.next = Some(row.sid);
            }
            if row.live {
                page.sessions.push(UserSession {
                    sid: row.sid,
                    subject: row.subject,
                    created_at: row.created_at,
                    auth_time: row.authenticated_at,
                    acr: row.acr,
                    amr: statements::decode("amr", row.sid, row.amr)?,
                    expires_at: row.expires_at,
                    absolute_expires_at: row.absolute_expires_at,
                    details: statements::decode("details", row.sid, row.details)?,
                });
            }
        }
        Ok(page)
    }
}
