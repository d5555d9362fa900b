use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::postgres::batching::Statement;
use crate::postgres::cluster;
use crate::postgres::error::Effect;

/// Revokes one grant, if it belongs to the given subject.
pub(super) struct RevokeGrant {
    pub(super) grant_id: Uuid,
    pub(super) subject: Option<String>,
}

impl Statement for RevokeGrant {
    /// True if this call revoked it.
    type Outcome = bool;
    const NAME: &'static str = "revoke_grant";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let grant_id: Vec<Uuid> = batch.iter().map(|revoke| revoke.grant_id).collect();
        let subject: Vec<Option<&str>> = batch.iter().map(|r| r.subject.as_deref()).collect();
        let revoked =
            sqlx::query_file_scalar!("src/postgres/sql/revoke_grant.sql", &grant_id, &subject as _)
                .fetch_all(connection)
                .await?;
        let revoked: HashSet<Uuid> = revoked.into_iter().collect();
        Ok(grant_id.iter().map(|grant_id| revoked.contains(grant_id)).collect())
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        cluster::end_grant(connection, self.grant_id, self.subject.as_deref(), None).await
    }

    fn key(&self) -> Option<u128> {
        Some(self.grant_id.as_u128())
    }
}
