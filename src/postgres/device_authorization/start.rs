use sqlx::PgConnection;
use uuid::Uuid;

use crate::context::GrantContext;
use crate::device_authorization::{DeviceAuthorization, NewDeviceAuthorization, user_code_digest};
use crate::postgres::batching::Statement;
use crate::postgres::context;
use crate::postgres::error::Effect;
use crate::postgres::token::by_position;
use crate::secret::TokenHash;
use crate::settings::micros;

/// Stores a device authorization.
pub(super) struct Start {
    digest: TokenHash,
    user_code: Uuid,
    grant_id: Uuid,
    client_id: String,
    scope: String,
    context: GrantContext,
    /// In seconds.
    interval: i32,
    /// In microseconds.
    expires_in: i64,
}

impl Start {
    pub(super) fn new(device: &NewDeviceAuthorization, codes: &DeviceAuthorization) -> Self {
        let user_code = user_code_digest(&codes.user_code).map(|digest| digest.halves().0);
        Self {
            digest: codes.device_code.digest(),
            user_code: user_code.unwrap_or_default(),
            grant_id: codes.grant_id(),
            client_id: device.client_id.clone(),
            scope: device.scope.as_str().to_owned(),
            context: device.context.clone().or_from(None),
            interval: i32::try_from(device.interval.as_secs()).unwrap_or(i32::MAX),
            expires_in: micros(device.expires_in),
        }
    }
}

/// The outcome of a start.
pub(super) enum Started {
    Stored,
    UserCodeTaken,
    UnknownClient,
}

impl Statement for Start {
    type Outcome = Started;
    const NAME: &'static str = "start_device_authorization";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|s| s.digest.halves()).unzip();
        let user_code: Vec<Uuid> = each().map(|s| s.user_code).collect();
        let grant_id: Vec<Uuid> = each().map(|s| s.grant_id).collect();
        let client_id: Vec<&str> = each().map(|s| s.client_id.as_str()).collect();
        let scope: Vec<&str> = each().map(|s| s.scope.as_str()).collect();
        let context: Vec<Option<String>> =
            each().map(|s| context::to_column(&s.context)).collect::<sqlx::Result<_>>()?;
        let interval: Vec<i32> = each().map(|s| s.interval).collect();
        let expires_in: Vec<i64> = each().map(|s| s.expires_in).collect();
        let rows = sqlx::query_file!(
            "src/postgres/sql/start_device_authorization.sql",
            &digest,
            &tail,
            &user_code,
            &grant_id,
            &client_id as _,
            &scope as _,
            &context as _,
            &interval,
            &expires_in,
        )
        .fetch_all(connection)
        .await?;
        let outcomes = rows.into_iter().map(|row| {
            let outcome = match (row.known, row.stored) {
                (false, _) => Started::UnknownClient,
                (true, false) => Started::UserCodeTaken,
                (true, true) => Started::Stored,
            };
            (row.position, outcome)
        });
        by_position(batch.len(), outcomes)
            .into_iter()
            .map(|outcome| outcome.ok_or(sqlx::Error::RowNotFound))
            .collect()
    }

    fn key(&self) -> Option<u128> {
        Some(self.user_code.as_u128())
    }
}
