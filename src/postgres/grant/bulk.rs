//! Revocation and deletion of every grant of a subject or a client.
//!
//! A scan finds the next grants by keyset, and a statement changes those that nobody holds. Each batch
//! is committed by itself and holds its rows for some milliseconds. A grant that somebody holds is
//! changed by itself at the end, because a batch that waited would keep the others of the batch from
//! whoever needs them. Every scan and every statement is bounded by the size of a batch, so a batch
//! that the server cuts off is halved and progress is made under any time limit.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::revoke::RevokeGrant;
use crate::error::{Error, Result};
use crate::postgres::PgStorage;
use crate::postgres::error::Effect;
use crate::postgres::executor::Connections;

/// Grants of a batch: some ten milliseconds.
const BATCH: i64 = 1_000;

/// Selects the grants to change.
#[derive(Clone, Copy)]
pub(in crate::postgres) enum Owner<'a> {
    Subject {
        subject: &'a str,
        /// Only those for this client.
        client_id: Option<&'a str>,
    },
    Client {
        client_id: &'a str,
        /// Only while this deletion of the client is not finished.
        deleted_at: Option<DateTime<Utc>>,
    },
}

/// The change to a grant.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::postgres) enum Change {
    Revoke,
    Delete,
}

struct Scanned {
    grant_id: Uuid,
    revoked: bool,
    matches: bool,
}

impl<C: Connections> PgStorage<C> {
    /// Changes every grant of the owner, and returns how many.
    pub(in crate::postgres) async fn change_grants(
        &self,
        owner: Owner<'_>,
        change: Change,
    ) -> Result<u64> {
        let mut changed = 0;
        let mut held = Vec::new();
        let mut after = Uuid::nil();
        let mut limit = BATCH;
        loop {
            let batch = self.change_next_grants(owner, change, after, limit).await;
            match batch.map_err(|error| error.after_commit_if(changed > 0))? {
                None if limit > 1 => limit /= 2,
                None => return Err(cut_off().after_commit_if(changed > 0)),
                Some(batch) => {
                    changed += batch.changed;
                    held.extend(batch.held);
                    match batch.last {
                        Some(last) => after = last,
                        None => break,
                    }
                }
            }
        }
        for grant_id in held {
            let done = self.change_held_grant(grant_id, change).await;
            changed += u64::from(done.map_err(|error| error.after_commit_if(changed > 0))?);
        }
        Ok(changed)
    }

    /// `None` if the server cut a statement off: nothing was changed.
    async fn change_next_grants(
        &self,
        owner: Owner<'_>,
        change: Change,
        after: Uuid,
        limit: i64,
    ) -> Result<Option<Batch>> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let scanned = match owner {
            Owner::Subject { subject, client_id } => {
                call.statement_unless_cut_off(|connection| {
                    sqlx::query_file_as!(
                        Scanned,
                        "src/postgres/sql/scan_grants_of_subject.sql",
                        subject,
                        after,
                        limit,
                        client_id,
                    )
                    .fetch_all(connection)
                })
                .await?
            }
            Owner::Client { client_id, deleted_at } => {
                call.statement_unless_cut_off(|connection| {
                    sqlx::query_file_as!(
                        Scanned,
                        "src/postgres/sql/scan_grants_of_client.sql",
                        client_id,
                        after,
                        limit,
                        deleted_at,
                    )
                    .fetch_all(connection)
                })
                .await?
            }
        };
        let Some(scanned) = scanned else { return Ok(None) };
        let last = scanned.last().map(|grant| grant.grant_id);
        let wanted: Vec<Uuid> = scanned
            .iter()
            .filter(|grant| grant.matches && (change == Change::Delete || !grant.revoked))
            .map(|grant| grant.grant_id)
            .collect();
        if wanted.is_empty() {
            return Ok(Some(Batch { changed: 0, held: Vec::new(), last }));
        }
        let changed = match change {
            Change::Revoke => {
                call.statement_unless_cut_off(|connection| {
                    sqlx::query_file_scalar!("src/postgres/sql/revoke_grants.sql", &wanted)
                        .fetch_all(connection)
                })
                .await?
            }
            Change::Delete => {
                call.statement_unless_cut_off(|connection| {
                    sqlx::query_file_scalar!("src/postgres/sql/delete_grants.sql", &wanted)
                        .fetch_all(connection)
                })
                .await?
            }
        };
        let Some(mut changed) = changed else { return Ok(None) };
        changed.sort_unstable();
        let held = wanted
            .into_iter()
            .filter(|grant_id| changed.binary_search(grant_id).is_err())
            .collect();
        Ok(Some(Batch { changed: changed.len() as u64, held, last }))
    }

    /// Changes a grant that somebody held, once it is free. False if it was changed meanwhile.
    async fn change_held_grant(&self, grant_id: Uuid, change: Change) -> Result<bool> {
        match change {
            Change::Revoke => self.connections.run(RevokeGrant { grant_id, subject: None }).await,
            Change::Delete => {
                let mut call = self.connections.begin(Effect::Write).await?;
                let done = call
                    .statement(|connection| {
                        sqlx::query_file!("src/postgres/sql/delete_grant.sql", grant_id)
                            .execute(connection)
                    })
                    .await?;
                Ok(done.rows_affected() > 0)
            }
        }
    }
}

struct Batch {
    changed: u64,
    held: Vec<Uuid>,
    /// The last grant of the scan; `None` at the end.
    last: Option<Uuid>,
}

fn cut_off() -> Error {
    Error::Unavailable {
        message: "the server ends even the statement for a single grant".into(),
        source: None,
    }
}
