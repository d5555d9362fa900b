//! The ends of sessions: sign-outs, erasure and the purge.
//!
//! A sign-out marks its sessions, revokes their grants, and deletes the rows last. A statement that stores a
//! code holds the row of the session, so the mark waits for it, and the scan for grants that follows sees
//! its grant. A later one finds the mark. Until the rows are deleted, another call continues.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::check::check_subject;
use crate::error::{Error, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::grant::{Change, Owner};
use crate::secret::Secret;
use crate::user_session::{EndedSession, SignOut};

/// The number of sessions in a statement that marks or deletes them: about ten milliseconds.
const BATCH: usize = 1_000;

/// A session that is marked as ended.
struct MarkedSession {
    sid: Uuid,
    subject: String,
    client_ids: Vec<String>,
}

/// A session in a scan; with its clients if it was marked.
struct ScannedSession {
    sid: Uuid,
    client_ids: Option<Vec<String>>,
}

impl<C: Connections> PgStorage<C> {
    pub(super) async fn end_session_with(
        &self,
        operation: &'static str,
        secret: &Secret,
    ) -> Result<SignOut> {
        if !secret.is_well_formed() {
            return Ok(SignOut::default());
        }
        let (digest, tail) = secret.digest().halves();
        let mut call = self.connections.begin(Effect::Write).await?;
        let marked = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    MarkedSession,
                    "src/postgres/sql/end_session.sql",
                    digest,
                    tail
                )
                .fetch_all(connection)
            })
            .await?;
        drop(call);
        self.finish_sign_out(operation, marked).await
    }

    pub(super) async fn end_session_of_subject(
        &self,
        operation: &'static str,
        subject: &str,
        sid: Uuid,
    ) -> Result<SignOut> {
        if check_subject(subject).is_err() {
            return Ok(SignOut::default());
        }
        let mut call = self.connections.begin(Effect::Write).await?;
        let marked = call
            .statement(|connection| {
                sqlx::query_file_as!(
                    MarkedSession,
                    "src/postgres/sql/end_session_of.sql",
                    sid,
                    subject
                )
                .fetch_all(connection)
            })
            .await?;
        drop(call);
        self.finish_sign_out(operation, marked).await
    }

    pub(super) async fn end_sessions_of_subject(
        &self,
        operation: &'static str,
        subject: &str,
        except: Option<Uuid>,
    ) -> Result<SignOut> {
        if check_subject(subject).is_err() {
            return Ok(SignOut::default());
        }
        let (mut marked, mut after, mut size) = (Vec::new(), Some(Uuid::nil()), BATCH);
        while let Some(from) = after {
            let rows = self.mark_next_sessions(subject, except, from, size).await;
            let rows = rows.map_err(|error| error.after_commit_if(!marked.is_empty()))?;
            let Some(rows) = rows else {
                let half = half(size);
                size = half.map_err(|error| error.after_commit_if(!marked.is_empty()))?;
                continue;
            };
            after = rows.last().filter(|_| rows.len() >= size).map(|row| row.sid);
            marked.extend(rows.into_iter().filter_map(|row| {
                let client_ids = row.client_ids?;
                Some(MarkedSession { sid: row.sid, subject: subject.to_owned(), client_ids })
            }));
        }
        self.finish_sign_out(operation, marked).await
    }

    /// Marks the next sessions of a subject. Returns `None` if the server cancelled the statement.
    async fn mark_next_sessions(
        &self,
        subject: &str,
        except: Option<Uuid>,
        after: Uuid,
        limit: usize,
    ) -> Result<Option<Vec<ScannedSession>>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement_unless_cut_off(|connection| {
            sqlx::query_file_as!(
                ScannedSession,
                "src/postgres/sql/end_sessions_of.sql",
                subject,
                except,
                after,
                limit,
            )
            .fetch_all(connection)
        })
        .await
    }

    /// Revokes the grants of marked sessions and deletes their rows.
    async fn finish_sign_out(
        &self,
        operation: &'static str,
        marked: Vec<MarkedSession>,
    ) -> Result<SignOut> {
        let mut sign_out = SignOut::default();
        for session in marked {
            let done = self.revoke_grants_of_session(session.sid, session.client_ids).await;
            let (revoked, client_ids) = done.map_err(Error::after_commit)?;
            sign_out.revoked_grants += revoked;
            sign_out.sessions.push(EndedSession::new(session.sid, session.subject, client_ids));
        }
        self.meters().revoked(operation, sign_out.revoked_grants);
        let sids: Vec<Uuid> = sign_out.sessions.iter().map(|session| session.sid).collect();
        let mut elsewhere: HashSet<Uuid> = HashSet::new();
        for sids in sids.chunks(BATCH) {
            // If this fails, the sessions have ended nevertheless, and the clients have to be told. The purge
            // deletes the rows.
            if let Ok(deleted) = self.delete_ended_sessions(sids).await {
                elsewhere.extend(sids);
                deleted.iter().for_each(|sid| _ = elsewhere.remove(sid));
            }
        }
        sign_out.sessions.retain(|session| !elsewhere.contains(&session.sid));
        Ok(sign_out)
    }

    /// Revokes the grants of a session. Returns their number, and the clients of all its grants.
    async fn revoke_grants_of_session(
        &self,
        sid: Uuid,
        client_ids: Vec<String>,
    ) -> Result<(u64, BTreeSet<String>)> {
        let client_ids = Mutex::new(BTreeSet::from_iter(client_ids));
        let owner = Owner::Session { sid: &sid.to_string(), client_ids: &client_ids };
        let revoked = self.change_grants(owner, Change::Revoke).await?;
        Ok((revoked, client_ids.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn delete_ended_sessions(&self, sids: &[Uuid]) -> Result<Vec<Uuid>> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement(|connection| {
            sqlx::query_file_scalar!("src/postgres/sql/delete_ended_sessions.sql", sids)
                .fetch_all(connection)
        })
        .await
    }

    /// Deletes the sessions of a subject and returns their number.
    pub(in crate::postgres) async fn erase_sessions_of(&self, subject: &str) -> Result<u64> {
        let (mut erased, mut after, mut size) = (0, Some(Uuid::nil()), BATCH);
        while let Some(from) = after {
            let limit = i64::try_from(size).unwrap_or(i64::MAX);
            let rows = self.erase_next_sessions(subject, from, limit).await;
            let Some(rows) = rows.map_err(|error| error.after_commit_if(erased > 0))? else {
                size = half(size).map_err(|error| error.after_commit_if(erased > 0))?;
                continue;
            };
            erased += rows.len() as u64;
            after = rows.last().filter(|_| rows.len() >= size).copied();
        }
        Ok(erased)
    }

    async fn erase_next_sessions(
        &self,
        subject: &str,
        from: Uuid,
        limit: i64,
    ) -> Result<Option<Vec<Uuid>>> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement_unless_cut_off(|connection| {
            sqlx::query_file_scalar!("src/postgres/sql/erase_sessions_of.sql", subject, from, limit)
                .fetch_all(connection)
        })
        .await
    }

    /// Removes expired sessions, and finishes interrupted sign-outs. Returns the number of sessions.
    pub(in crate::postgres) async fn purge_sessions(&self, batch: i64) -> Result<u64> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let purged = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/purge_sessions.sql", batch).execute(connection)
            })
            .await?
            .rows_affected();
        let unfinished = call
            .statement(|connection| {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/find_unfinished_sign_outs.sql",
                    batch.min(100)
                )
                .fetch_all(connection)
            })
            .await;
        drop(call);
        let unfinished = unfinished.map_err(|error| error.after_commit_if(purged > 0))?;
        for sid in &unfinished {
            let revoked = self.revoke_grants_of_session(*sid, Vec::new()).await;
            let (revoked, _) = revoked.map_err(|error| error.after_commit_if(purged > 0))?;
            self.meters().revoked("purge_expired", revoked);
        }
        if unfinished.is_empty() {
            return Ok(purged);
        }
        let finished =
            self.delete_ended_sessions(&unfinished).await.map_err(Error::after_commit)?;
        Ok(purged + finished.len() as u64)
    }
}

/// Halves the size of a batch that the server cancelled. Fails if it is one session.
fn half(size: usize) -> Result<usize> {
    if size > 1 {
        return Ok(size / 2);
    }
    Err(Error::Unavailable {
        message: "the server cancels even a statement for a single session".into(),
        source: None,
    })
}
