//! Sign-outs.
//!
//! A sign-out marks its sessions, revokes their grants, and deletes the rows last. A statement that stores a
//! code holds the row of the session, so the mark waits for it, and the scan for grants that follows sees
//! its grant. A later one finds the mark. Until the rows are deleted, another call continues.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::check::check_subject;
use crate::error::{Error, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::grant::{Change, Owner, half};
use crate::secret::Secret;
use crate::user_session::{EndedSession, SignOut};

/// The number of sessions in a statement that marks or deletes them: about ten milliseconds.
pub(super) const BATCH: usize = 1_000;

/// The number of sessions in a scan for their grants.
const CHUNK: usize = 100;

/// The number of grants of a session that such a scan finds.
const FIRST: usize = 20;

/// A session that is marked as ended.
struct MarkedSession {
    sid: Uuid,
    subject: String,
    client_ids: Vec<String>,
}

/// A grant of a session.
struct FoundGrant {
    sid: String,
    grant_id: Uuid,
    client_id: String,
    matches: bool,
    revoked: bool,
    offline: bool,
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
        mut marked: Vec<MarkedSession>,
    ) -> Result<SignOut> {
        let mut sign_out = SignOut::default();
        while !marked.is_empty() {
            let chunk = marked.split_off(marked.len().saturating_sub(CHUNK));
            let done = self.revoke_grants_of_sessions(chunk, &mut sign_out).await;
            done.map_err(Error::after_commit)?;
        }
        self.meters().revoked(operation, sign_out.revoked_grants);
        let sids: Vec<Uuid> = sign_out.sessions.iter().map(|session| session.sid).collect();
        let mut elsewhere: HashSet<Uuid> = HashSet::new();
        for sids in sids.chunks(BATCH) {
            // If this fails, the sessions have ended nevertheless, and the clients have to be notified. The purge
            // deletes the rows.
            if let Ok(deleted) = self.delete_ended_sessions(sids).await {
                elsewhere.extend(sids);
                deleted.iter().for_each(|sid| _ = elsewhere.remove(sid));
            }
        }
        sign_out.sessions.retain(|session| !elsewhere.contains(&session.sid));
        Ok(sign_out)
    }

    /// Revokes the grants of some sessions. A scan finds the first grants of each, because most have few.
    async fn revoke_grants_of_sessions(
        &self,
        sessions: Vec<MarkedSession>,
        sign_out: &mut SignOut,
    ) -> Result<()> {
        let sids: Vec<String> = sessions.iter().map(|session| session.sid.to_string()).collect();
        let found = self.scan_grants_of_sessions(&sids).await?;
        // Without a scan, the grants of each session are scanned.
        let is_scanned = found.is_some();
        let mut first: HashMap<String, Vec<FoundGrant>> = HashMap::new();
        for grant in found.unwrap_or_default() {
            first.entry(grant.sid.clone()).or_default().push(grant);
        }
        let own = |grant: &&FoundGrant| grant.matches && !grant.offline && !grant.revoked;
        let wanted = first.values().flatten().filter(own).map(|grant| grant.grant_id).collect();
        sign_out.revoked_grants += self.revoke_listed_grants(wanted).await?;
        for (session, sid) in sessions.into_iter().zip(&sids) {
            let first = first.remove(sid).unwrap_or_default();
            let mut client_ids = BTreeSet::from_iter(session.client_ids);
            if !is_scanned || first.len() >= FIRST {
                let (revoked, all) = self.revoke_grants_of_session(session.sid, client_ids).await?;
                sign_out.revoked_grants += revoked;
                client_ids = all;
            } else {
                let own = first.into_iter().filter(|grant| grant.matches);
                client_ids.extend(own.map(|grant| grant.client_id));
            }
            sign_out.sessions.push(EndedSession::new(session.sid, session.subject, client_ids));
        }
        Ok(())
    }

    /// Returns `None` on a cluster, which has no such joins, and if the server cancelled the scan.
    async fn scan_grants_of_sessions(&self, sids: &[String]) -> Result<Option<Vec<FoundGrant>>> {
        if self.connections.is_cluster() {
            return Ok(None);
        }
        let limit = i64::try_from(FIRST).unwrap_or(i64::MAX);
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement_unless_cut_off(|connection| {
            sqlx::query_file_as!(
                FoundGrant,
                "src/postgres/sql/scan_grants_of_sessions.sql",
                sids,
                limit
            )
            .fetch_all(connection)
        })
        .await
    }

    /// Revokes the grants of a session. Returns their number, and the clients of all its grants.
    pub(super) async fn revoke_grants_of_session(
        &self,
        sid: Uuid,
        client_ids: BTreeSet<String>,
    ) -> Result<(u64, BTreeSet<String>)> {
        let client_ids = Mutex::new(client_ids);
        let owner = Owner::Session { sid: &sid.to_string(), client_ids: &client_ids };
        let revoked = self.change_grants(owner, Change::Revoke).await?;
        Ok((revoked, client_ids.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(super) async fn delete_ended_sessions(&self, sids: &[Uuid]) -> Result<Vec<Uuid>> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement(|connection| {
            sqlx::query_file_scalar!("src/postgres/sql/delete_ended_sessions.sql", sids)
                .fetch_all(connection)
        })
        .await
    }
}
