//! Revocation and deletion of every grant of a subject or a client.
//!
//! A scan finds the next grants by keyset, and a statement changes those that nobody holds. Each batch
//! is committed by itself and holds its rows for some milliseconds. The grants that somebody holds come
//! last: in batches again, and only if not one of them is free does the operation wait, for a single
//! one. A batch that waited would keep the others of the batch from whoever needs them. Every scan and every statement is bounded by the size of a batch, so a batch
//! that the server cuts off is halved and progress is made under any time limit.

use uuid::Uuid;

use super::revoke::RevokeGrant;
use super::scan::{Change, Owner, Place, scan, scan_cluster};
use crate::error::{Error, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::{Call, Connections};
use crate::postgres::error::Effect;

/// Grants of a scan, and of a statement that changes them: some ten milliseconds.
const BATCH: usize = 1_000;

/// Grants of a scan at most.
const MOST: usize = 1_000_000;

/// Batches without progress, because the server cuts them off, before the operation gives up.
const PATIENCE: u32 = 50;

/// The size of the batches, which adapts to the time limit of the server.
struct Pace {
    /// Grants of a scan.
    scan: usize,
    /// Grants of a statement that changes them.
    change: usize,
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
        let mut pace = Pace { scan: BATCH, change: BATCH };
        let mut in_vain = 0;
        while let Some(from) = place {
            let batch = self.change_next_grants(owner, change, from, &mut pace).await;
            let batch = batch.map_err(|error| error.after_commit_if(changed > 0))?;
            changed += batch.changed;
            held.extend(batch.held);
            place = batch.next;
            in_vain = if batch.changed > 0 || place != Some(from) { 0 } else { in_vain + 1 };
            if in_vain > PATIENCE {
                return Err(cut_off().after_commit_if(changed > 0));
            }
        }
        let rest = self.change_held_grants(held, change, &mut pace).await;
        rest.map(|rest| changed + rest).map_err(|error| error.after_commit_if(changed > 0))
    }

    /// Scans from a place, and changes what was found. Where the server cuts a statement off, the pace
    /// is halved, and the next batch begins at the same place.
    async fn change_next_grants(
        &self,
        owner: Owner<'_>,
        change: Change,
        from: Place,
        pace: &mut Pace,
    ) -> Result<Batch> {
        let mut batch = Batch::new(Some(from));
        let is_cluster = self.connections.is_cluster();
        let mut call = self.connections.begin(Effect::Write).await?;
        let scan = match (owner, from) {
            (Owner::Client { client_id, deleted_at }, Place::Bucket(bucket)) if is_cluster => {
                scan_cluster(&mut call, (client_id, deleted_at), change, bucket, pace.scan).await?
            }
            _ => scan(&mut call, owner, change, from, pace.scan).await?,
        };
        let Some(scan) = scan else {
            pace.scan = half(pace.scan)?;
            return Ok(batch);
        };
        for wanted in scan.wanted.chunks(pace.change) {
            let changed = change_free_grants(&mut call, change, wanted, is_cluster).await;
            let changed = changed.map_err(|error| error.after_commit_if(batch.changed > 0))?;
            let Some(changed) = changed else {
                let half = half(pace.change);
                pace.change = half.map_err(|error| error.after_commit_if(batch.changed > 0))?;
                return Ok(batch);
            };
            batch.add(wanted, changed);
        }
        if scan.is_of_one_bucket {
            pace.scan = pace.scan.saturating_mul(2).min(MOST);
        }
        batch.next = scan.next;
        Ok(batch)
    }

    /// Changes the grants that somebody held, and returns how many.
    async fn change_held_grants(
        &self,
        mut held: Vec<Uuid>,
        change: Change,
        pace: &mut Pace,
    ) -> Result<u64> {
        let mut changed = 0;
        held.sort_unstable();
        held.dedup();
        while !held.is_empty() {
            let pass = self.change_those_free_now(&held, change, pace).await;
            let pass = pass.map_err(|error| error.after_commit_if(changed > 0))?;
            changed += pass.changed;
            held = pass.held;
            let is_stuck = pass.changed == 0 && !pass.is_cut_off;
            let Some(first) = held.first().filter(|_| is_stuck) else { continue };
            let done = self.change_held_grant(*first, change).await;
            changed += u64::from(done.map_err(|error| error.after_commit_if(changed > 0))?);
        }
        Ok(changed)
    }

    /// Changes those of the grants that nobody holds. What others changed or deleted is held no more.
    async fn change_those_free_now(
        &self,
        grant_ids: &[Uuid],
        change: Change,
        pace: &mut Pace,
    ) -> Result<Batch> {
        let mut batch = Batch::new(None);
        let is_cluster = self.connections.is_cluster();
        let mut call = self.connections.begin(Effect::Write).await?;
        let mut left = grant_ids;
        while !left.is_empty() {
            let (chunk, rest) = left.split_at(pace.change.min(left.len()));
            let done = change_unchanged_grants(&mut call, change, chunk, is_cluster).await;
            match done.map_err(|error| error.after_commit_if(batch.changed > 0))? {
                Some((unchanged, changed)) => batch.add(&unchanged, changed),
                None => {
                    // The next pass begins with these, in smaller chunks.
                    batch.held.extend(left);
                    batch.is_cut_off = true;
                    let half = half(pace.change);
                    pace.change = half.map_err(|error| error.after_commit_if(batch.changed > 0))?;
                    break;
                }
            }
            left = rest;
        }
        Ok(batch)
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
    /// The server cut a statement off.
    is_cut_off: bool,
}

impl Batch {
    const fn new(next: Option<Place>) -> Self {
        Self { changed: 0, held: Vec::new(), next, is_cut_off: false }
    }

    /// Counts what a statement changed. Somebody holds the rest of what was wanted.
    fn add(&mut self, wanted: &[Uuid], mut changed: Vec<Uuid>) {
        changed.sort_unstable();
        self.changed += changed.len() as u64;
        let is_held = |grant_id: &&Uuid| changed.binary_search(grant_id).is_err();
        self.held.extend(wanted.iter().filter(is_held));
    }
}

/// Changes those of the grants that nobody holds, and returns them. `None` if the server cut the
/// statement off: nothing was changed.
async fn change_free_grants(
    call: &mut Call<'_>,
    change: Change,
    grant_ids: &[Uuid],
    is_cluster: bool,
) -> Result<Option<Vec<Uuid>>> {
    match change {
        Change::Revoke if is_cluster => {
            call.statement_unless_cut_off(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/cluster/revoke_grants.sql", grant_ids)
                    .fetch_all(connection)
            })
            .await
        }
        Change::Delete if is_cluster => {
            call.statement_unless_cut_off(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/cluster/delete_grants.sql", grant_ids)
                    .fetch_all(connection)
            })
            .await
        }
        Change::Revoke => {
            call.statement_unless_cut_off(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/revoke_grants.sql", grant_ids)
                    .fetch_all(connection)
            })
            .await
        }
        Change::Delete => {
            call.statement_unless_cut_off(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/delete_grants.sql", grant_ids)
                    .fetch_all(connection)
            })
            .await
        }
    }
}

/// Changes those of the grants that nobody holds and nobody changed before. Returns those that were
/// unchanged, and those that it changed; `None` if the server cut a statement off.
async fn change_unchanged_grants(
    call: &mut Call<'_>,
    change: Change,
    grant_ids: &[Uuid],
    is_cluster: bool,
) -> Result<Option<(Vec<Uuid>, Vec<Uuid>)>> {
    let all = change == Change::Delete;
    let unchanged = call
        .statement_unless_cut_off(|connection| {
            sqlx::query_file_scalar!("src/postgres/sql/find_unchanged_grants.sql", grant_ids, all,)
                .fetch_all(connection)
        })
        .await?;
    let Some(unchanged) = unchanged else { return Ok(None) };
    let changed = change_free_grants(call, change, &unchanged, is_cluster).await?;
    Ok(changed.map(|changed| (unchanged, changed)))
}

/// Half the pace. Fails where it was a single grant.
fn half(pace: usize) -> Result<usize> {
    if pace > 1 { Ok(pace / 2) } else { Err(cut_off()) }
}

fn cut_off() -> Error {
    Error::Unavailable {
        message: "the server ends even the statement for a single grant".into(),
        source: None,
    }
}
