//! Lookup, listing and purge of grants, on pooled connections.

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::check::{check_batch, check_limit, check_subject};
use crate::error::Result;
use crate::grant::{Grant, GrantPage, GrantState, Purged};
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::token::corrupt_grant;
use crate::postgres::{PgStorage, context};
use crate::scope::Scope;

/// The number of grants that a page scans beyond its size, if they are no longer live: about a
/// millisecond.
const SCAN: i64 = 1_000;

struct GrantRow {
    grant_id: Uuid,
    client_id: String,
    subject: Option<String>,
    scope: String,
    granted_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked: bool,
    expired: bool,
    context: Option<String>,
}

impl GrantRow {
    fn into_grant(self) -> Result<Grant> {
        let corrupt = |column, message| corrupt_grant(column, self.grant_id, message);
        Ok(Grant {
            grant_id: self.grant_id,
            client_id: self.client_id,
            subject: self.subject,
            scope: Scope::from_stored(self.scope).map_err(|e| corrupt("scope", e.to_string()))?,
            granted_at: self.granted_at,
            expires_at: self.expires_at,
            state: GrantState::new(self.revoked, self.expired),
            context: context::from_column(self.context)
                .map_err(|e| corrupt("context", e.to_string()))?,
        })
    }
}

impl<C: Connections> PgStorage<C> {
    pub(super) async fn find_grant(&self, grant_id: Uuid) -> Result<Option<Grant>> {
        let mut call = self.connections.begin(Effect::Read).await?;
        let row = call
            .statement(|connection| {
                sqlx::query_file_as!(GrantRow, "src/postgres/sql/find_grant.sql", grant_id)
                    .fetch_optional(connection)
            })
            .await?;
        row.map(GrantRow::into_grant).transpose()
    }

    pub(super) async fn list_live_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<GrantPage> {
        let asked = check_limit(limit)?;
        if check_subject(subject).is_err() {
            return Ok(GrantPage::default());
        }
        let bound = SCAN + asked;
        let mut call = self.connections.begin(Effect::Read).await?;
        let rows = call
            .statement(|connection| {
                sqlx::query_file!(
                    "src/postgres/sql/list_grants.sql",
                    subject,
                    after,
                    bound,
                    asked + 1,
                )
                .fetch_all(connection)
            })
            .await?;
        let mut page = GrantPage::default();
        for row in rows {
            if page.grants.len() == limit {
                page.next = page.grants.last().map(|grant| grant.grant_id);
                break;
            }
            if row.is_bound {
                page.next = Some(row.grant_id);
            }
            if row.live {
                let row = GrantRow {
                    grant_id: row.grant_id,
                    client_id: row.client_id,
                    subject: row.subject,
                    scope: row.scope,
                    granted_at: row.granted_at,
                    expires_at: row.expires_at,
                    revoked: row.revoked,
                    expired: row.expired,
                    context: row.context,
                };
                page.grants.push(row.into_grant()?);
            }
        }
        Ok(page)
    }

    /// Deletes the user of a subject from the shipped user table. Returns the number of users.
    pub(super) async fn delete_user_of(&self, subject: &str) -> Result<u64> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement(|connection| {
            sqlx::query_file!("src/postgres/sql/delete_user_of_subject.sql", subject)
                .execute(connection)
        })
        .await
        .map(|deleted| deleted.rows_affected())
    }

    pub(super) async fn purge_batch(&self, limit: usize) -> Result<Purged> {
        let batch = check_batch(limit)?;
        let mut call = self.connections.begin(Effect::Write).await?;
        let is_cluster = self.connections.is_cluster();
        let credentials = if is_cluster {
            call.statement(|connection| purge_on_cluster(connection, batch)).await
        } else {
            call.statement(|connection| purge_credentials(connection, batch)).await
        };
        let devices = if is_cluster {
            call.statement(|connection| purge_devices_on_cluster(connection, batch)).await
        } else {
            call.statement(|connection| purge_devices(connection, batch)).await
        };
        let records = call.statement(|connection| purge_records(connection, batch)).await;
        let signing_keys = call.statement(|connection| purge_signing_keys(connection, batch)).await;
        drop(call);
        let sessions = self.purge_sessions(batch).await;
        // If one of them cannot be purged, the others still are.
        let (mut purged, mut failed) = (Purged::default(), None);
        for part in [credentials, devices, records, signing_keys, sessions] {
            match part {
                Ok(part) => purged += part,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            None => Ok(purged),
            Some(error) => Err(error.after_commit_if(!purged.is_empty())),
        }
    }
}

async fn purge_credentials(connection: &mut PgConnection, batch: i64) -> sqlx::Result<Purged> {
    let row = sqlx::query_file!("src/postgres/sql/purge_expired.sql", batch)
        .fetch_one(connection)
        .await?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    // If all rows of a full batch are locked, an immediate retry is pointless.
    let is_full = row.tokens_seen >= batch || row.authorization_codes_seen >= batch;
    Ok(Purged {
        tokens: count(row.tokens),
        authorization_codes: count(row.authorization_codes),
        grants: count(row.grants),
        more: is_full && row.tokens + row.authorization_codes > 0,
        ..Purged::default()
    })
}

async fn purge_records(connection: &mut PgConnection, batch: i64) -> sqlx::Result<Purged> {
    let deleted = sqlx::query_file!("src/postgres/sql/purge_records.sql", batch)
        .execute(connection)
        .await?
        .rows_affected();
    let more = i64::try_from(deleted).is_ok_and(|records| records >= batch);
    Ok(Purged { records: deleted, more, ..Purged::default() })
}

async fn purge_signing_keys(connection: &mut PgConnection, batch: i64) -> sqlx::Result<Purged> {
    let deleted = sqlx::query_file!("src/postgres/sql/purge_signing_keys.sql", batch)
        .execute(connection)
        .await?
        .rows_affected();
    let more = i64::try_from(deleted).is_ok_and(|keys| keys >= batch);
    Ok(Purged { signing_keys: deleted, more, ..Purged::default() })
}

async fn purge_devices(connection: &mut PgConnection, batch: i64) -> sqlx::Result<Purged> {
    let row = sqlx::query_file!("src/postgres/sql/purge_device_authorizations.sql", batch)
        .fetch_one(connection)
        .await?;
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    Ok(Purged {
        device_authorizations: count(row.device_authorizations),
        grants: count(row.grants),
        more: row.device_authorizations >= batch,
        ..Purged::default()
    })
}

/// Does the same with a statement on the coordinator, and one on the shards.
async fn purge_devices_on_cluster(
    connection: &mut PgConnection,
    batch: i64,
) -> sqlx::Result<Purged> {
    let mut transaction = connection.begin().await?;
    let grant_ids =
        sqlx::query_file_scalar!("src/postgres/sql/cluster/delete_expired_devices.sql", batch)
            .fetch_all(&mut *transaction)
            .await?;
    let grants = sqlx::query_file!("src/postgres/sql/cluster/delete_ended_grants.sql", &grant_ids)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Purged {
        device_authorizations: grant_ids.len() as u64,
        grants: grants.rows_affected(),
        more: i64::try_from(grant_ids.len()).is_ok_and(|devices| devices >= batch),
        ..Purged::default()
    })
}

/// Purges with several statements, each routed to the shards of the grants. A grant is deleted once
/// its last credential has expired.
async fn purge_on_cluster(connection: &mut PgConnection, limit: i64) -> sqlx::Result<Purged> {
    let mut transaction = connection.begin().await?;
    let expired = sqlx::query_file!("src/postgres/sql/cluster/find_expired.sql", limit)
        .fetch_all(&mut *transaction)
        .await?;
    let is_full = |of_token| {
        let found = expired.iter().filter(|row| row.of_token == of_token).count();
        i64::try_from(found).is_ok_and(|found| found >= limit)
    };
    let more = is_full(true) || is_full(false);
    let mut grant_ids: Vec<Uuid> = expired.iter().map(|row| row.grant_id).collect();
    grant_ids.sort_unstable();
    grant_ids.dedup();
    let codes = sqlx::query_file!("src/postgres/sql/cluster/delete_expired_codes.sql", &grant_ids)
        .execute(&mut *transaction)
        .await?;
    let tokens =
        sqlx::query_file!("src/postgres/sql/cluster/delete_expired_tokens.sql", &grant_ids)
            .execute(&mut *transaction)
            .await?;
    let grants = sqlx::query_file!("src/postgres/sql/cluster/delete_ended_grants.sql", &grant_ids)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let (tokens, codes) = (tokens.rows_affected(), codes.rows_affected());
    Ok(Purged {
        tokens,
        authorization_codes: codes,
        grants: grants.rows_affected(),
        more: more && tokens + codes > 0,
        ..Purged::default()
    })
}
