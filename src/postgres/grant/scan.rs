//! Scans for the grants of a subject, a client or a session.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::Result;
use crate::postgres::batching::Call;

/// The owner of the grants to change.
#[derive(Clone, Copy)]
pub(in crate::postgres) enum Owner<'a> {
    Subject {
        subject: &'a str,
        /// Only grants for this client, if set.
        client_id: Option<&'a str>,
    },
    Client {
        client_id: &'a str,
        /// Only while this deletion of the client is unfinished, if set.
        deleted_at: Option<DateTime<Utc>>,
    },
    /// A session of a user. Grants with the scope `offline_access` are not changed.
    Session {
        sid: &'a str,
        /// Collects the clients of all grants.
        client_ids: &'a Mutex<BTreeSet<String>>,
    },
}

/// The change to a grant.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::postgres) enum Change {
    Revoke,
    Delete,
}

/// The place of a scan: a grant of a subject or a session, or a bucket of a client's grants.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Grant(Uuid),
    Bucket(i32),
}

/// The grants that a scan found.
pub(super) struct Scan {
    /// The grants to change.
    pub(super) wanted: Vec<Uuid>,
    /// The place of the next scan; `None` at the end.
    pub(super) next: Option<Place>,
    /// True if the scan did not get past one bucket, so that the next scan needs a higher limit.
    pub(super) is_of_one_bucket: bool,
}

/// Finds the next grants to change. Returns `None` if the server cancelled the scan.
pub(super) async fn scan(
    call: &mut Call<'_>,
    owner: Owner<'_>,
    change: Change,
    from: Place,
    limit: usize,
) -> Result<Option<Scan>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let is_full = |rows: usize| i64::try_from(rows).is_ok_and(|rows| rows >= limit);
    let is_wanted =
        |matches: bool, revoked: bool| matches && (change == Change::Delete || !revoked);
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
            let wanted = rows.iter().filter(|row| is_wanted(row.matches, row.revoked));
            let wanted = wanted.map(|row| row.grant_id).collect();
            Ok(Some(Scan { wanted, next, is_of_one_bucket: false }))
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
                    )
                    .fetch_all(connection)
                })
                .await?;
            let Some(rows) = rows else { return Ok(None) };
            // The last bucket may have more grants, so the next scan begins with it.
            let last = rows.last().filter(|_| is_full(rows.len())).map(|row| row.bucket);
            let is_of_one_bucket = last.is_some() && last == rows.first().map(|row| row.bucket);
            let wanted = rows.iter().filter(|row| is_wanted(row.matches, row.revoked));
            let wanted = wanted.map(|row| row.grant_id).collect();
            Ok(Some(Scan { wanted, next: last.map(Place::Bucket), is_of_one_bucket }))
        }
        (Owner::Session { sid, client_ids }, Place::Grant(after)) => {
            let rows = call
                .statement_unless_cut_off(|connection| {
                    sqlx::query_file!(
                        "src/postgres/sql/scan_grants_of_session.sql",
                        sid,
                        after,
                        limit,
                    )
                    .fetch_all(connection)
                })
                .await?;
            let Some(rows) = rows else { return Ok(None) };
            let last = rows.last().filter(|_| is_full(rows.len()));
            let next = last.map(|row| Place::Grant(row.grant_id));
            let wanted =
                rows.iter().filter(|row| is_wanted(row.matches && !row.offline, row.revoked));
            let wanted = wanted.map(|row| row.grant_id).collect();
            let clients = rows.into_iter().filter(|row| row.matches).map(|row| row.client_id);
            client_ids.lock().unwrap_or_else(PoisonError::into_inner).extend(clients);
            Ok(Some(Scan { wanted, next, is_of_one_bucket: false }))
        }
        // Unreachable: a place is of the kind of its owner.
        _ => Ok(Some(Scan { wanted: Vec::new(), next: None, is_of_one_bucket: false })),
    }
}

/// Does the same for a client on a cluster, whose nodes do not have the table of clients.
pub(super) async fn scan_cluster(
    call: &mut Call<'_>,
    (client_id, deleted_at): (&str, Option<DateTime<Utc>>),
    change: Change,
    bucket: i32,
    limit: usize,
) -> Result<Option<Scan>> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = call
        .statement_unless_cut_off(|connection| {
            sqlx::query_file!(
                "src/postgres/sql/cluster/scan_grants_of_client.sql",
                client_id,
                bucket,
                most,
            )
            .fetch_all(connection)
        })
        .await?;
    let Some(rows) = rows else { return Ok(None) };
    // Checked after the scan: if the registration still exists then, the grants found belong to it.
    if let Some(deleted_at) = deleted_at {
        let is_deleting = call
            .statement_unless_cut_off(|connection| {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/cluster/is_deleting_client.sql",
                    client_id,
                    deleted_at,
                )
                .fetch_one(connection)
            })
            .await?;
        match is_deleting {
            None => return Ok(None),
            Some(true) => {}
            Some(false) => {
                return Ok(Some(Scan { wanted: Vec::new(), next: None, is_of_one_bucket: false }));
            }
        }
    }
    let last = rows.last().filter(|_| rows.len() >= limit).map(|row| row.bucket);
    let is_of_one_bucket = last.is_some() && last == rows.first().map(|row| row.bucket);
    let wanted = rows
        .iter()
        .filter(|row| row.matches && (change == Change::Delete || !row.revoked))
        .map(|row| row.grant_id)
        .collect();
    Ok(Some(Scan { wanted, next: last.map(Place::Bucket), is_of_one_bucket }))
}
