use sqlx::{Connection as _, PgConnection};

use crate::check::check_client_id;
use crate::error::{Error, Result};
use crate::postgres::batching::Connections;
use crate::postgres::error::Effect;
use crate::postgres::grant::{Change, Owner};
use crate::postgres::{PgStorage, cluster};

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
        let Some(deleted_at) = deleted_at else { return Ok(false) };
        self.lock_out_client(client_id).await.map_err(Error::after_commit)?;
        let owner = Owner::Client { client_id, deleted_at: Some(deleted_at) };
        let deleted = self.change_grants(owner, Change::Delete).await;
        // The client is already disabled.
        deleted.map_err(Error::after_commit)?;
        let mut call = self.connections.begin(Effect::Write).await.map_err(Error::after_commit)?;
        let done = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/delete_client.sql", client_id, deleted_at)
                    .execute(connection)
            })
            .await;
        done.map(|_| true).map_err(Error::after_commit)
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
