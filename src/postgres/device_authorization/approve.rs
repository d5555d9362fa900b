use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::context::GrantContext;
use crate::postgres::batching::Statement;
use crate::postgres::cluster::{self, NewGrantRow};
use crate::postgres::context;
use crate::postgres::error::Effect;
use crate::scope::Scope;

/// Approves a device authorization and stores its grant. It runs alone, because it is rare.
pub(super) struct Approve {
    pub(super) user_code: Uuid,
    pub(super) grant_id: Uuid,
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) scope: Scope,
    pub(super) context: GrantContext,
}

impl Approve {
    async fn run_alone(&self, connection: &mut PgConnection) -> sqlx::Result<Option<bool>> {
        sqlx::query_file_scalar!(
            "src/postgres/sql/approve_device_authorization.sql",
            self.user_code,
            self.client_id,
            self.subject,
            self.scope.as_str(),
            context::to_column(&self.context)?,
            self.grant_id,
        )
        .fetch_optional(connection)
        .await
    }
}

impl Statement for Approve {
    /// True if it is approved, false if the scope is wider than the requested one, `None` if none waits.
    type Outcome = Option<bool>;
    const NAME: &'static str = "approve_device_authorization";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for approve in batch {
            outcomes.push(approve.run_alone(connection).await?);
        }
        Ok(outcomes)
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let mut transaction = connection.begin().await?;
        let now = cluster::lock_client(&mut transaction, &self.client_id).await?;
        let Some(granted_at) = now else { return Ok(None) };
        let approved = sqlx::query_file!(
            "src/postgres/sql/cluster/approve_device_authorization.sql",
            self.user_code,
            self.client_id,
            self.scope.as_str(),
            self.grant_id,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(device) = approved.as_ref().filter(|device| device.fits) {
            let grant = NewGrantRow {
                granted_at,
                expires_at: device.expires_at,
                refresh_expires_at: None,
                grant_id: device.grant_id,
                client_id: &self.client_id,
                subject: Some(&self.subject),
                scope: &self.scope,
                context: &self.context,
            };
            grant.insert(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(approved.map(|device| device.fits))
    }

    fn key(&self) -> Option<u128> {
        Some(self.user_code.as_u128())
    }
}

/// Denies a device authorization. Like an approval it runs alone.
pub(super) struct Deny {
    pub(super) user_code: Uuid,
    pub(super) grant_id: Uuid,
}

impl Statement for Deny {
    /// False if none waits.
    type Outcome = bool;
    const NAME: &'static str = "deny_device_authorization";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for Self { user_code, grant_id } in batch {
            let denied = sqlx::query_file!(
                "src/postgres/sql/deny_device_authorization.sql",
                user_code,
                grant_id
            )
            .execute(&mut *connection)
            .await?;
            outcomes.push(denied.rows_affected() > 0);
        }
        Ok(outcomes)
    }

    fn key(&self) -> Option<u128> {
        Some(self.user_code.as_u128())
    }
}
