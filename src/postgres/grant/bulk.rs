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
use crate::postgres::executor::{Call, Connections};

/// Grants of a statement that changes them: some ten milliseconds.
const BATCH: i64 = 1_000;

/// Grants of a scan at most.
const MOST: i64 = 100_000;

/// Batches without progress, because the server cuts them off, before the operation gives up.
const PATIENCE: u32 = 50;

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

/// The place of a scan: of a subject by grant, of a client by bucket of grants.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Grant(Uuid),
    Bucket(i32),
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
        let mut place = match owner {
            Owner::Subject { .. } => Some(Place::Grant(Uuid::nil())),
            Owner::Client { .. } => Some(Place::Bucket(0)),
        };
        let mut limit = BATCH;
        let mut in_vain = 0;
        while let Some(from) = place {
            let batch = self.change_next_grants(owner, change, from, limit).await;
            match batch.map_err(|error| error.after_commit_if(changed > 0))? {
                _ if in_vain > PATIENCE => return Err(cut_off().after_commit_if(changed > 0)),
                None if limit > 1 => {
                    limit /= 2;
                    in_vain += 1;
                }
                None => return Err(cut_off().after_commit_if(changed > 0)),
                Some(batch) => {
                    let moved = batch.changed > 0 || batch.next != Some(from);
                    in_vain = if moved { 0 } else { in_vain + 1 };
                    changed += batch.changed;
                    held.extend(batch.held);
                    place = batch.next;
                    limit = batch.limit;
                }
            }
        }
        held.sort_unstable();
        held.dedup();
        for grant_id in held {
            let done = self.change_held_grant(grant_id, change).await;
            changed += u64::from(done.map_err(|error| error.after_commit_if(changed > 0))?);
        }
        Ok(changed)
    }

    /// `None` if the server cut a statement off: nothing was changed by it.
    async fn change_next_grants(
        &self,
        owner: Owner<'_>,
        change: Change,
        from: Place,
        limit: i64,
    ) -> Result<Option<Batch>> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let Some(scan) = scan(&mut call, owner, change, from, limit).await? else {
            return Ok(None);
        };
        let mut batch =
            Batch { changed: 0, held: Vec::new(), next: scan.next, limit: scan.next_limit };
        let size = usize::try_from(BATCH.min(limit)).unwrap_or(1);
        for wanted in scan.wanted.chunks(size) {
            let changed = match change {
                Change::Revoke => {
                    call.statement_unless_cut_off(|connection| {
                        sqlx::query_file_scalar!("src/postgres/sql/revoke_grants.sql", wanted)
                            .fetch_all(connection)
                    })
                    .await?
                }
                Change::Delete => {
                    call.statement_unless_cut_off(|connection| {
                        sqlx::query_file_scalar!("src/postgres/sql/delete_grants.sql", wanted)
                            .fetch_all(connection)
                    })
                    .await?
                }
            };
            let Some(mut changed) = changed else {
                // The chunks before are committed; the next scan passes them.
                let limit = (limit / 2).max(1);
                return Ok((batch.changed > 0).then_some(Batch {
                    next: Some(from),
                    limit,
                    ..batch
                }));
            };
            changed.sort_unstable();
            batch.changed += changed.len() as u64;
            let is_held = |grant_id: &&Uuid| changed.binary_search(grant_id).is_err();
            batch.held.extend(wanted.iter().filter(is_held));
        }
        Ok(Some(batch))
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
    /// Grants that somebody held.
    held: Vec<Uuid>,
    /// The place of the next batch; `None` at the end.
    next: Option<Place>,
    /// The limit of the next scan.
    limit: i64,
}

struct Scan {
    wanted: Vec<Uuid>,
    next: Option<Place>,
    next_limit: i64,
}

/// Finds the next grants to change. `None` if the server cut the scan off.
async fn scan(
    call: &mut Call<'_>,
    owner: Owner<'_>,
    change: Change,
    from: Place,
    limit: i64,
) -> Result<Option<Scan>> {
    let is_full = |rows: usize| i64::try_from(rows).is_ok_and(|rows| rows >= limit);
    match (owner, from) {
        (Owner::Subject { subject, client_id }, Place::Grant(after)) => {
            let rows = call
                .statement_unless_cut_off(|connection| {
                    sqlx::query_file!(
                        "src/postgres/sql/scan_grants_of_subject.sql",
                        subject,
                        after,
                        limit,
                        client_id,
                    )
                    .fetch_all(connection)
                })
                .await?;
            let Some(rows) = rows else { return Ok(None) };
            let last = rows.last().filter(|_| is_full(rows.len()));
            let next = last.map(|row| Place::Grant(row.grant_id));
            let wanted = rows
                .iter()
                .filter(|row| row.matches && (change == Change::Delete || !row.revoked))
                .map(|row| row.grant_id)
                .collect();
            Ok(Some(Scan { wanted, next, next_limit: limit }))
        }
        (Owner::Client { client_id, deleted_at }, Place::Bucket(bucket)) => {
            let rows = call
                .statement_unless_cut_off(|connection| {
                    sqlx::query_file!(
                        "src/postgres/sql/scan_grants_of_client.sql",
                        client_id,
                        bucket,
                        limit,
                        deleted_at,
                        change == Change::Revoke,
                    )
                    .fetch_all(connection)
                })
                .await?;
            let Some(rows) = rows else { return Ok(None) };
            let last = rows.last().filter(|_| is_full(rows.len())).map(|row| row.bucket);
            // The last bucket may have more, so the next scan begins with it. If the scan did not get
            // past one bucket, the next takes more of it at once.
            let is_one = last.is_some() && last == rows.first().map(|row| row.bucket);
            Ok(Some(Scan {
                wanted: rows.iter().map(|row| row.grant_id).collect(),
                next: last.map(Place::Bucket),
                next_limit: if is_one { limit.saturating_mul(2).min(MOST) } else { limit },
            }))
        }
        // A place is of the kind of its owner.
        _ => Ok(Some(Scan { wanted: Vec::new(), next: None, next_limit: limit })),
    }
}

fn cut_off() -> Error {
    Error::Unavailable {
        message: "the server ends even the statement for a single grant".into(),
        source: None,
    }
}
