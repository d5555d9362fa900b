//! Replay identifiers: `jti` of client assertions (RFC 7523 3) and DPoP proofs (RFC 9449 4.3).

use std::time::SystemTime;

use oauth_as::StorageError;

use crate::OauthAsStorage;
use crate::digest::Digest;
use crate::error::{database, run};
use crate::time::nanoseconds;

impl OauthAsStorage {
    pub(crate) async fn claim(
        &self,
        id: &str,
        expires_at: SystemTime,
    ) -> Result<bool, StorageError> {
        let claimed = run!(
            sqlx::query_file!(
                "src/sql/claim_replay_id.sql",
                Digest::of(id).head,
                nanoseconds(expires_at),
            )
            .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(claimed.rows_affected() == 1)
    }
}
