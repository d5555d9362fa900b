//! Storing codes for sessions of users.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::create::{CodeColumns, CreateCode};
use crate::error::Error;
use crate::postgres::batching::Statement;
use crate::postgres::error::Effect;
use crate::postgres::token::by_position;
use crate::postgres::{cluster, context};

/// A code for a session of the user.
pub(super) struct CreateCodeInSession {
    pub(super) sid: Uuid,
    pub(super) create: CreateCode,
}

/// The outcome of storing a code for a session.
pub(super) enum InSession {
    /// Stored at this time.
    Stored(DateTime<Utc>),
    /// The client is unknown or disabled.
    UnknownClient,
    /// The subject has no such live session.
    UnknownSession,
}

impl Statement for CreateCodeInSession {
    type Outcome = InSession;
    const NAME: &'static str = "create_authorization_code_in_session";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter().map(|call| &call.create);
        let columns = CodeColumns::new(each());
        let context: Vec<Option<String>> = each()
            .map(|create| context::to_column(&create.code.context))
            .collect::<sqlx::Result<_>>()?;
        let sid: Vec<Uuid> = batch.iter().map(|call| call.sid).collect();
        let rows = sqlx::query_file!(
            "src/postgres/sql/create_authorization_code_in_session.sql",
            &columns.digest,
            &columns.tail,
            &columns.grant_id,
            &columns.client_id as _,
            &columns.subject as _,
            &columns.scope as _,
            &columns.response_type,
            &columns.redirect_uri as _,
            &columns.code_challenge as _,
            &columns.lifetime,
            &context as _,
            &sid,
        )
        .fetch_all(connection)
        .await?;
        let outcomes = rows.into_iter().map(|row| {
            let outcome = match (row.stored, row.client_is_enabled) {
                (true, _) => InSession::Stored(row.now),
                (false, true) => InSession::UnknownSession,
                (false, false) => InSession::UnknownClient,
            };
            (row.position, outcome)
        });
        Ok(by_position(batch.len(), outcomes).into_iter().flatten().collect())
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let code = &self.create.code;
        let mut transaction = connection.begin().await?;
        let now = cluster::lock_client(&mut transaction, &code.client_id).await?;
        let Some(now) = now else {
            transaction.rollback().await?;
            return Ok(InSession::UnknownClient);
        };
        let held = sqlx::query_file!(
            "src/postgres/sql/cluster/hold_session.sql",
            self.sid,
            code.subject,
            code.client_id,
        )
        .execute(&mut *transaction)
        .await?;
        if held.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(InSession::UnknownSession);
        }
        self.create.insert_in_new_grant(&mut transaction, now).await?;
        transaction.commit().await?;
        Ok(InSession::Stored(now))
    }

    fn key(&self) -> Option<u128> {
        Some(self.sid.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        self.create.refused(error)
    }
}
