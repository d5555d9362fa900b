use sqlx::PgConnection;
use uuid::Uuid;

use crate::device_authorization::DevicePoll;
use crate::postgres::batching::Statement;
use crate::postgres::error::Effect;
use crate::postgres::token::by_position;
use crate::secret::TokenHash;

/// Polls a device authorization. It issues nothing, so that a poll that finds it pending, as most do, is
/// cheap.
pub(super) struct Poll {
    digest: TokenHash,
    client_id: String,
}

impl Poll {
    pub(super) fn new(poll: &DevicePoll) -> Self {
        Self { digest: poll.device_code.digest(), client_id: poll.client_id.clone() }
    }
}

/// The state of a device authorization when it was polled.
#[derive(Clone, Copy)]
pub(super) enum Polled {
    Pending,
    SlowDown,
    Denied,
    Expired,
    Approved,
}

impl Statement for Poll {
    /// `None` if the client has no such device authorization.
    type Outcome = Option<Polled>;
    const NAME: &'static str = "poll_device_authorization";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|p| p.digest.halves()).unzip();
        let client_id: Vec<&str> = each().map(|p| p.client_id.as_str()).collect();
        let rows = sqlx::query_file!(
            "src/postgres/sql/poll_device_authorization.sql",
            &digest,
            &tail,
            &client_id as _,
        )
        .fetch_all(connection)
        .await?;
        let polled = rows.iter().map(|row| {
            let state = match row.outcome.as_str() {
                "slow_down" => Polled::SlowDown,
                "denied" => Polled::Denied,
                "expired" => Polled::Expired,
                "approved" => Polled::Approved,
                _ => Polled::Pending,
            };
            (row.position, state)
        });
        Ok(by_position(batch.len(), polled))
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }
}
