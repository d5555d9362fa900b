//! Revocation and deletion of every grant of a subject, a client or a session.
//!
//! A scan finds the next grants by keyset, and a statement changes those that are not locked. Each
//! batch is committed separately and holds its locks for some milliseconds. Locked grants come
//! last, again in batches. Only if none of them is free does the operation wait, for a single one,
//! because a batch that waits would keep its other rows locked. Every scan and every statement is
//! bounded by the size of a batch. If the server cancels one, the size is halved, so that the
//! operation makes progress under any time limit.

use uuid::Uuid;

use super::revoke::RevokeGrant;
use super::scan::{Change, Owner, Place, scan, scan_cluster};
use crate::error::{Error, Result};
use crate::postgres::PgStorage;
use crate::postgres::batching::{Call, Connections};
use crate::postgres::error::Effect;

/// The number of grants in a scan, and in a statement that changes them: about ten milliseconds.
const BATCH: usize = 1_000;

/// The maximum number of grants in a scan.
const MOST: usize = 1_000_000;

/// The number of consecutive cancelled batches without progress before the operation fails.
const MAX_STALLED: u32 = 50;

/// The sizes of the batches, adapted to the time limit of the server.
struct BatchSizes {
    /// The number of grants in a scan.
    scan: usize,
    /// The number of grants in a statement that changes them.
    change: usize,
}

impl<C: Connections> PgStorage<C> {
    /// Changes every grant of the owner and returns their number.
    pub(in crate::postgres) async fn change_grants(
        &self,
        owner: Owner<'_>,
        change: Change,
    ) -> Result<u64> {
        let mut changed = 0;
        let mut locked = Vec::new();
        let mut place = match owner {
            Owner::Subject { .. } | Owner::Session { .. } => Some(Place::Grant(Uuid::nil())),
            Owner::Client { .. } => Some(Place::Bucket(0)),
        };
        let mut sizes = BatchSizes { scan: BATCH, change: BATCH };
        let mut stalled = 0;
        while let Some(from) = place {
            let batch = self.change_next_grants(owner, change, from, &mut sizes).await;
            let batch = batch.map_err(|error| error.after_commit_if(changed > 0))?;
            changed += batch.changed;
            locked.extend(batch.locked);
            place = batch.next;
            stalled = if batch.changed > 0 || place != Some(from) { 0 } else { stalled + 1 };
            if stalled > MAX_STALLED {
                return Err(cut_off().after_commit_if(changed > 0));
            }
        }
        let rest = self.change_locked_grants(locked, change, &mut sizes).await;
        rest.map(|rest| changed + rest).map_err(|error| error.after_commit_if(changed > 0))
    }

    /// Scans from a place and changes the grants found. If the server cancels a statement, the size
    /// is halved, and the next batch begins at the same place.
    async fn change_next_grants(
        &self,
        owner: Owner<'_>,
        change: Change,
        from: Place,
        sizes: &mut BatchSizes,
    ) -> Result<Batch> {
        let mut batch = Batch::new(Some(from));
        let is_cluster = self.connections.is_cluster();
        let mut call = self.connections.begin(Effect::Write).await?;
        let scan = match (owner, from) {
            (Owner::Client { client_id, deleted_at }, Place::Bucket(bucket)) if is_cluster => {
                scan_cluster(&mut call, (client_id, deleted_at), change, bucket, sizes.scan).await?
            }
            _ => scan(&mut call, owner, change, from, sizes.scan).await?,
        };
        let Some(scan) = scan else {
            sizes.scan = half(sizes.scan)?;
            return Ok(batch);
        };
        for wanted in scan.wanted.chunks(sizes.change) {
            let changed = change_free_grants(&mut call, change, wanted, is_cluster).await;
            let changed = changed.map_err(|error| error.after_commit_if(batch.changed > 0))?;
            let Some(changed) = changed else {
                let half = half(sizes.change);
                sizes.change = half.map_err(|error| error.after_commit_if(batch.changed > 0))?;
                return Ok(batch);
            };
            batch.add(wanted, changed);
        }
        if scan.is_of_one_bucket {
            sizes.scan = sizes.scan.saturating_mul(2).min(MOST);
        }
        batch.next = scan.next;
        Ok(batch)
    }

    /// Revokes the listed grants and returns the number of those that were not revoked before.
    pub(in crate::postgres) async fn revoke_listed_grants(
        &self,
        grant_ids: Vec<Uuid>,
    ) -> Result<u64> {
        let mut sizes = BatchSizes { scan: BATCH, change: BATCH };
        self.change_locked_grants(grant_ids, Change::Revoke, &mut sizes).await
    }

    /// Changes the grants that were locked and returns their number.
    async fn change_locked_grants(
        &self,
        mut locked: Vec<Uuid>,
        change: Change,
        sizes: &mut BatchSizes,
    ) -> Result<u64> {
        let mut changed = 0;
        locked.sort_unstable();
        locked.dedup();
        while !locked.is_empty() {
            let pass = self.change_unlocked_grants(&locked, change, sizes).await;
            let pass = pass.map_err(|error| error.after_commit_if(changed > 0))?;
            changed += pass.changed;
            locked = pass.locked;
            let is_stuck = pass.changed == 0 && !pass.is_cut_off;
            let Some(first) = locked.first().filter(|_| is_stuck) else { continue };
            let done = self.change_locked_grant(*first, change).await;
            changed += u64::from(done.map_err(|error| error.after_commit_if(changed > 0))?);
        }
        Ok(changed)
    }

    /// Changes those of the grants that are not locked. Grants that others have changed or deleted
    /// are dropped from the list.
    async fn change_unlocked_grants(
        &self,
        grant_ids: &[Uuid],
        change: Change,
        sizes: &mut BatchSizes,
    ) -> Result<Batch> {
        let mut batch = Batch::new(None);
        let is_cluster = self.connections.is_cluster();
        let mut call = self.connections.begin(Effect::Write).await?;
        let mut left = grant_ids;
        while !left.is_empty() {
            let (chunk, rest) = left.split_at(sizes.change.min(left.len()));
            let done = change_unchanged_grants(&mut call, change, chunk, is_cluster).await;
            match done.map_err(|error| error.after_commit_if(batch.changed > 0))? {
                Some((unchanged, changed)) => batch.add(&unchanged, changed),
                None => {
                    // The next pass begins with these, in smaller chunks.
                    batch.locked.extend(left);
                    batch.is_cut_off = true;
                    let half = half(sizes.change);
                    sizes.change =
                        half.map_err(|error| error.after_commit_if(batch.changed > 0))?;
                    break;
                }
            }
            left = rest;
        }
        Ok(batch)
    }

    /// Waits for a locked grant and changes it. Returns false if it was changed meanwhile.
    async fn change_locked_grant(&self, grant_id: Uuid, change: Change) -> Result<bool> {
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
    /// Grants that were locked.
    locked: Vec<Uuid>,
    /// The place of the next batch; `None` at the end.
    next: Option<Place>,
    /// True if the server cancelled a statement.
    is_cut_off: bool,
}

impl Batch {
    const fn new(next: Option<Place>) -> Self {
        Self { changed: 0, locked: Vec::new(), next, is_cut_off: false }
    }

    /// Counts the changed grants. The rest of the wanted ones are locked.
    fn add(&mut self, wanted: &[Uuid], mut changed: Vec<Uuid>) {
        changed.sort_unstable();
        self.changed += changed.len() as u64;
        let is_locked = |grant_id: &&Uuid| changed.binary_search(grant_id).is_err();
        self.locked.extend(wanted.iter().filter(is_locked));
    }
}

/// Changes those of the grants that are not locked, and returns them. Returns `None` if the server
/// cancelled the statement. Nothing was changed then.
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

/// Changes those of the grants that are not locked and still unchanged. Returns the unchanged ones,
/// and those that it changed; `None` if the server cancelled a statement.
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

/// Halves the size of a batch that the server cancelled. Fails if it is one row.
pub(in crate::postgres) fn half(size: usize) -> Result<usize> {
    if size > 1 { Ok(size / 2) } else { Err(cut_off()) }
}

fn cut_off() -> Error {
    Error::Unavailable {
        message: "the server cancels even a statement for a single row".into(),
        source: None,
    }
}
