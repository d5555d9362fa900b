use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};

use crate::check::check_client_id;
use crate::client::MIN_UNUSED;
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::batching::Connections;
use crate::postgres::consent::ConsentOwner;
use crate::postgres::error::Effect;
use crate::postgres::grant::{Change, Owner};
use crate::postgres::{PgStorage, cluster};
use crate::settings::{MAX_LIFETIME, micros};

/// A client that a purge deletes.
struct UnusedClient {
    client_id: String,
    /// True if it has expired, or if its deletion was interrupted.
    ended: bool,
}

impl<C: Connections> PgStorage<C> {
    /// Updates the lock row of a client. If the client is disabled, waits for every statement that
    /// still issues to it.
    pub(super) async fn lock_out_client(&self, client_id: &str) -> Result<()> {
        let mut call = self.connections.begin(Effect::Write).await?;
        if self.connections.is_cluster() {
            return call.statement(|connection| lock_out_on_cluster(connection, client_id)).await;
        }
        call.statement(|connection| {
            sqlx::query_file!("src/postgres/sql/lock_out_client.sql", client_id).execute(connection)
        })
        .await
        .map(drop)
    }

    /// Disables the client permanently, deletes its grants in batches, and deletes its row last. A
    /// disabled client gets no new grants.
    pub(super) async fn delete_client_and_grants(&self, client_id: &str) -> Result<bool> {
        if check_client_id(client_id).is_err() {
            return Ok(false);
        }
        let mut call = self.connections.begin(Effect::Write).await?;
        let deleted_at = call
            .statement(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/begin_client_deletion.sql", client_id)
                    .fetch_optional(connection)
            })
            .await?;
        drop(call);
        match deleted_at {
            // Another call may end it first; then the client is gone as well.
            Some(deleted_at) => self.finish_deletion(client_id, deleted_at).await.map(|_| true),
            None => Ok(false),
        }
    }

    /// Deletes expired and unused clients, one after the other.
    pub(super) async fn delete_unused_clients(&self, unused_for: Duration) -> Result<u64> {
        if unused_for < MIN_UNUSED || unused_for > MAX_LIFETIME {
            return Err(Error::invalid("unused_for", InvalidReason::OutOfRange));
        }
        let unused_for = micros(unused_for);
        let (mut deleted, mut failed, mut after) = (0, None, String::new());
        let mut failed_in_turn = 0;
        // In an outage each client fails after its own deadline.
        while failed_in_turn < 3 {
            let page = self.scan_unused_clients(&after, unused_for).await;
            let page = page.map_err(|error| error.after_commit_if(deleted > 0))?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.client_id);
            for client in &page {
                match self.delete_unused_client(client, unused_for).await {
                    Ok(is_deleted) => {
                        deleted += u64::from(is_deleted);
                        failed_in_turn = 0;
                    }
                    // One that cannot be deleted must not keep the others.
                    Err(error) => {
                        failed = failed.or(Some(error));
                        failed_in_turn += 1;
                    }
                }
                if failed_in_turn == 3 {
                    break;
                }
            }
        }
        failed.map_or(Ok(deleted), |error| Err(error.after_commit_if(deleted > 0)))
    }

    async fn scan_unused_clients(&self, after: &str, unused_for: i64) -> Result<Vec<UnusedClient>> {
        let mut call = self.connections.begin(Effect::Read).await?;
        call.statement(|connection| {
            sqlx::query_file_as!(
                UnusedClient,
                "src/postgres/sql/scan_unused_clients.sql",
                after,
                unused_for
            )
            .fetch_all(connection)
        })
        .await
    }

    /// Deletes a client that has ended or is not in use: it has no live grant, and was not used since
    /// the scan. Returns false if it is in use, or if another call ended the deletion.
    async fn delete_unused_client(&self, client: &UnusedClient, unused_for: i64) -> Result<bool> {
        let UnusedClient { client_id, ended } = client;
        let mut call = self.connections.begin(Effect::Read).await?;
        let has_live_grant = call
            .statement(|connection| {
                sqlx::query_file_scalar!("src/postgres/sql/client_has_live_grant.sql", client_id)
                    .fetch_one(connection)
            })
            .await?;
        drop(call);
        if has_live_grant && !ended {
            return Ok(false);
        }
        let mut call = self.connections.begin(Effect::Write).await?;
        let deleted_at = call
            .statement(|connection| {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/begin_unused_client_deletion.sql",
                    client_id,
                    unused_for
                )
                .fetch_optional(connection)
            })
            .await?;
        drop(call);
        match deleted_at {
            Some(deleted_at) => self.finish_deletion(client_id, deleted_at).await,
            None => Ok(false),
        }
    }

    /// Deletes the grants and then the row of a client that is disabled for deletion. Returns false if
    /// another call deleted the row.
    async fn finish_deletion(&self, client_id: &str, deleted_at: DateTime<Utc>) -> Result<bool> {
        self.lock_out_client(client_id).await.map_err(Error::after_commit)?;
        let owner = Owner::Client { client_id, deleted_at: Some(deleted_at) };
        let deleted = self.change_grants(owner, Change::Delete).await;
        // The client is already disabled.
        deleted.map_err(Error::after_commit)?;
        let consents = self.delete_consents(ConsentOwner::Client { client_id, deleted_at }).await;
        consents.map_err(Error::after_commit)?;
        let mut call = self.connections.begin(Effect::Write).await.map_err(Error::after_commit)?;
        let done = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/delete_client.sql", client_id, deleted_at)
                    .execute(connection)
            })
            .await;
        done.map(|done| done.rows_affected() > 0).map_err(Error::after_commit)
    }
}

/// Does the same on a cluster, where an advisory lock takes the place of the row lock.
async fn lock_out_on_cluster(connection: &mut PgConnection, client_id: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    cluster::lock_out_client(&mut transaction, client_id).await?;
    sqlx::query_file!("src/postgres/sql/lock_out_client.sql", client_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
