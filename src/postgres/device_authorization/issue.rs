use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::device_authorization::DevicePoll;
use crate::error::Error;
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster::{self, after};
use crate::postgres::error::Effect;
use crate::postgres::grant::{SpentRow, has_offline_access};
use crate::postgres::token::{
    LifetimeColumns, PairColumns, PairDigests, by_position, duplicate_token,
};
use crate::request::RequestContext;
use crate::secret::TokenHash;
use crate::settings::Lifetimes;
use crate::token::TokenPair;

/// Stores the tokens of an approved device authorization and deletes it.
pub(super) struct Issue {
    digest: TokenHash,
    client_id: String,
    tokens: PairDigests,
    lifetimes: Lifetimes,
    /// True if a refresh token needs the scope `offline_access`.
    only_offline: bool,
}

impl Issue {
    pub(super) fn new(
        connections: &impl Connections,
        request: &RequestContext,
        poll: &DevicePoll,
        tokens: &TokenPair,
    ) -> Self {
        Self {
            digest: poll.device_code.digest(),
            client_id: poll.client_id.clone(),
            tokens: PairDigests::new(connections, tokens),
            lifetimes: Lifetimes::new(&request.settings, tokens.refresh_token.is_some()),
            only_offline: request.settings.require_offline_access,
        }
    }
}

impl Statement for Issue {
    /// `None` if it is not approved any more, or its client or grant has ended.
    type Outcome = Option<SpentRow>;
    const NAME: &'static str = "issue_device_tokens";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|i| i.digest.halves()).unzip();
        let client_id: Vec<&str> = each().map(|i| i.client_id.as_str()).collect();
        let tokens = PairColumns::new(each().map(|i| &i.tokens));
        let lifetimes = LifetimeColumns::new(each().map(|i| &i.lifetimes));
        let only_offline: Vec<bool> = each().map(|i| i.only_offline).collect();
        let rows = sqlx::query_file_as!(
            SpentRow,
            "src/postgres/sql/issue_device_tokens.sql",
            &digest,
            &tail,
            &client_id as _,
            &tokens.access,
            &tokens.access_tail,
            &tokens.refresh as _,
            &tokens.refresh_tail as _,
            &lifetimes.access_token,
            &lifetimes.refresh_token,
            &lifetimes.grant,
            &lifetimes.refresh_end as _,
            &only_offline,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let mut transaction = connection.begin().await?;
        let issued = self.issue_on_shard(&mut transaction).await?;
        match issued {
            Some(_) => transaction.commit().await?,
            None => transaction.rollback().await?,
        }
        Ok(issued)
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}

impl Issue {
    /// Does the same as [`run`](Statement::run), in several statements: the device authorization is on the
    /// coordinator, its grant on a shard. Returns `None` if nothing is issued; the transaction must be
    /// rolled back then.
    async fn issue_on_shard(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Option<SpentRow>> {
        let Some(now) = cluster::lock_client(connection, &self.client_id).await? else {
            return Ok(None);
        };
        let (digest, tail) = self.digest.halves();
        let held = sqlx::query_file_scalar!(
            "src/postgres/sql/cluster/hold_approved_device.sql",
            digest,
            tail,
            self.client_id,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(grant_id) = held else { return Ok(None) };
        let lifetimes = &self.lifetimes;
        let grant = sqlx::query_file!(
            "src/postgres/sql/cluster/extend_grant.sql",
            grant_id,
            self.client_id,
            after(now, lifetimes.grant),
            lifetimes.refresh_end.map(|end| after(now, end)),
            after(now, lifetimes.access_token),
            self.only_offline,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(grant) = grant else { return Ok(None) };
        let refreshable = !self.only_offline || has_offline_access(&grant.scope);
        let tokens = if refreshable { self.tokens } else { self.tokens.without_refresh_token() };
        tokens.insert(&mut *connection, now, grant_id, lifetimes).await?;
        sqlx::query_file!("src/postgres/sql/cluster/delete_device_authorization.sql", digest)
            .execute(connection)
            .await?;
        Ok(Some(SpentRow {
            position: 1,
            replayed: false,
            wider: false,
            grant_id,
            subject: grant.subject,
            scope: grant.scope,
            issued_at: now,
            expires_at: after(now, lifetimes.access_token),
            context: grant.context,
            refreshable,
        }))
    }
}
