use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::device_authorization::{PendingDeviceAuthorization, UserCodeLookup, UserCodeOutcome};
use crate::error::{Error, Result};
use crate::postgres::batching::Statement;
use crate::postgres::context;
use crate::postgres::error::Effect;
use crate::scope::Scope;
use crate::secret::TokenHash;
use crate::settings::micros;

/// Counts an attempt and finds a pending device authorization. The attempts of one guesser run one after the
/// other, and wait on no connection that others need.
pub(super) struct Find {
    user_code: Option<Uuid>,
    guesser: Option<TokenHash>,
    attempts: i32,
    /// In microseconds.
    window: i64,
}

impl Find {
    pub(super) fn new(lookup: &UserCodeLookup, user_code: Option<TokenHash>) -> Self {
        Self {
            user_code: user_code.map(|digest| digest.halves().0),
            guesser: lookup.guesser_digest(),
            attempts: i32::try_from(lookup.attempts).unwrap_or(i32::MAX - 1),
            window: micros(lookup.window),
        }
    }

    async fn run_alone(&self, connection: &mut PgConnection) -> sqlx::Result<Found> {
        let (guesser, tail) = self.guesser.map(|digest| digest.halves()).unzip();
        let row = sqlx::query_file!(
            "src/postgres/sql/find_device_authorization.sql",
            self.user_code,
            guesser,
            tail,
            self.attempts,
            self.window,
        )
        .fetch_one(connection)
        .await?;
        if row.is_limited {
            return Ok(Found::Limited);
        }
        let (Some(grant_id), Some(client_id), Some(scope), Some(issued_at), Some(expires_at)) =
            (row.grant_id, row.client_id, row.scope, row.issued_at, row.expires_at)
        else {
            return Ok(Found::Unknown);
        };
        let context = row.context;
        Ok(Found::Pending(PendingRow {
            grant_id,
            client_id,
            scope,
            context,
            issued_at,
            expires_at,
        }))
    }
}

/// The outcome of a lookup.
pub(super) enum Found {
    Pending(PendingRow),
    Unknown,
    Limited,
}

/// A pending device authorization.
pub(super) struct PendingRow {
    grant_id: Uuid,
    client_id: String,
    scope: String,
    context: Option<String>,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl PendingRow {
    pub(super) fn into_outcome(self) -> Result<UserCodeOutcome> {
        let corrupt = |column, message| Error::Corrupt {
            table: "oauth_storage.device_authorization",
            column,
            row: self.grant_id.to_string(),
            message,
        };
        Ok(UserCodeOutcome::Found(Box::new(PendingDeviceAuthorization::new(
            self.grant_id,
            self.client_id,
            Scope::from_stored(self.scope).map_err(|e| corrupt("scope", e.to_string()))?,
            context::from_column(self.context).map_err(|e| corrupt("context", e.to_string()))?,
            self.issued_at,
            self.expires_at,
        ))))
    }
}

impl Statement for Find {
    type Outcome = Found;
    const NAME: &'static str = "find_device_authorization";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for find in batch {
            outcomes.push(find.run_alone(connection).await?);
        }
        Ok(outcomes)
    }

    fn key(&self) -> Option<u128> {
        self.guesser.map(|guesser| guesser.halves().0.as_u128())
    }
}
