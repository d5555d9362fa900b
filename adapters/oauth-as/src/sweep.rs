//! The sweep of expired records.

use std::time::SystemTime;

use oauth_as::StorageError;

use crate::OauthAsStorage;
use crate::error::{database, run};
use crate::time::nanoseconds;

/// The maximum number of rows that one statement deletes.
const BATCH: i64 = 1000;

/// Deletes from one table, batch by batch. Each commits. The last one is not full.
macro_rules! sweep {
    ($storage:expr, $now:expr, $file:literal) => {{
        let mut total = 0;
        loop {
            let swept = run!(sqlx::query_file!($file, $now, BATCH).execute(&$storage.pool))
                .map_err(database)?
                .rows_affected();
            total += swept;
            if swept < BATCH.unsigned_abs() {
                break total;
            }
        }
    }};
}

impl OauthAsStorage {
    /// Rows that another statement has locked are left to the next sweep. The tables of features that are
    /// disabled are swept as well, because another node may have them.
    pub(crate) async fn sweep(&self, now: SystemTime) -> Result<u64, StorageError> {
        let now = nanoseconds(now);
        Ok(sweep!(self, now, "src/sql/sweep_device_grant.sql")
            + sweep!(self, now, "src/sql/sweep_authorization_code.sql")
            + sweep!(self, now, "src/sql/sweep_pushed_request.sql")
            + sweep!(self, now, "src/sql/sweep_access_token.sql")
            + sweep!(self, now, "src/sql/sweep_refresh_token.sql")
            + sweep!(self, now, "src/sql/sweep_replay_id.sql")
            // Last: a barrier goes after the records that it covers.
            + sweep!(self, now, "src/sql/sweep_barrier.sql"))
    }
}
