use chrono::{DateTime, Utc};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::device_authorization::{DevicePoll, DevicePollOutcome};
use crate::error::{Error, Result};
use crate::grant::IssuedTokens;
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster::{self, after};
use crate::postgres::context;
use crate::postgres::error::Effect;
use crate::postgres::grant::has_offline_access;
use crate::postgres::token::{
    LifetimeColumns, PairColumns, PairDigests, by_position, corrupt_grant, duplicate_token,
};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::TokenHash;
use crate::settings::Lifetimes;
use crate::token::{Token, TokenKind, TokenPair, TokenState};

/// Polls a device authorization, and stores the tokens if it is approved.
pub(super) struct Poll {
    digest: TokenHash,
    client_id: String,
    tokens: PairDigests,
    lifetimes: Lifetimes,
    /// True if a refresh token needs the scope `offline_access`.
    only_offline: bool,
}

impl Poll {
    /// Returns `None` if the poll cannot be valid.
    pub(super) fn new(
        connections: &impl Connections,
        request: &RequestContext,
        poll: &DevicePoll,
        tokens: &TokenPair,
    ) -> Option<Self> {
        poll.is_well_formed().then(|| Self {
            digest: poll.device_code.digest(),
            client_id: poll.client_id.clone(),
            tokens: PairDigests::new(connections, tokens),
            lifetimes: Lifetimes::new(&request.settings, tokens.refresh_token.is_some()),
            only_offline: request.settings.require_offline_access,
        })
    }
}

/// A device authorization of the client, and the access token if it was issued.
pub(super) struct PollRow {
    position: i64,
    outcome: String,
    grant_id: Uuid,
    subject: Option<String>,
    scope: Option<String>,
    context: Option<String>,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// True if the refresh token was stored.
    refreshable: Option<bool>,
}

impl PollRow {
    pub(super) fn into_outcome(
        self,
        client_id: String,
        tokens: TokenPair,
    ) -> Result<DevicePollOutcome> {
        let corrupt = |column, message| corrupt_grant(column, self.grant_id, message);
        match self.outcome.as_str() {
            "pending" => return Ok(DevicePollOutcome::Pending),
            "slow_down" => return Ok(DevicePollOutcome::SlowDown),
            "denied" => return Ok(DevicePollOutcome::Denied),
            "expired" => return Ok(DevicePollOutcome::Expired),
            "issued" => {}
            _ => return Ok(DevicePollOutcome::Invalid),
        }
        let scope = Scope::from_stored(self.scope.unwrap_or_default());
        let token = Token {
            kind: TokenKind::Access,
            grant_id: self.grant_id,
            client_id,
            subject: self.subject,
            scope: scope.map_err(|e| corrupt("scope", e.to_string()))?,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            state: TokenState::Active,
            context: context::from_column(self.context)
                .map_err(|e| corrupt("context", e.to_string()))?,
        };
        let refreshable = self.refreshable.unwrap_or_default();
        let tokens = if refreshable { tokens } else { tokens.without_refresh_token() };
        Ok(DevicePollOutcome::Issued(Box::new(IssuedTokens { token, tokens })))
    }
}

impl Statement for Poll {
    /// `None` if the client has no such device authorization.
    type Outcome = Option<PollRow>;
    const NAME: &'static str = "poll_device_authorization";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|p| p.digest.halves()).unzip();
        let client_id: Vec<&str> = each().map(|p| p.client_id.as_str()).collect();
        let tokens = PairColumns::new(each().map(|p| &p.tokens));
        let lifetimes = LifetimeColumns::new(each().map(|p| &p.lifetimes));
        let only_offline: Vec<bool> = each().map(|p| p.only_offline).collect();
        let rows = sqlx::query_file_as!(
            PollRow,
            "src/postgres/sql/poll_device_authorization.sql",
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
        let row = self.poll_on_cluster(&mut transaction).await?;
        transaction.commit().await?;
        Ok(row)
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}

impl Poll {
    /// Does the same as [`run`](Statement::run), in several statements: the device authorization is on the
    /// coordinator, its grant on a shard.
    async fn poll_on_cluster(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Option<PollRow>> {
        let now = cluster::lock_client(connection, &self.client_id).await?;
        let (digest, tail) = self.digest.halves();
        let device = sqlx::query_file!(
            "src/postgres/sql/cluster/poll_device_authorization.sql",
            digest,
            tail,
            self.client_id,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(device) = device else { return Ok(None) };
        let mut row = PollRow {
            position: 1,
            outcome: device.outcome,
            grant_id: device.grant_id,
            subject: None,
            scope: None,
            context: None,
            issued_at: now.unwrap_or_default(),
            expires_at: now.unwrap_or_default(),
            refreshable: None,
        };
        if row.outcome != "approved" {
            return Ok(Some(row));
        }
        let Some(now) = now else { return Ok(None) };
        let lifetimes = &self.lifetimes;
        let grant = sqlx::query_file!(
            "src/postgres/sql/cluster/extend_grant.sql",
            row.grant_id,
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
        tokens.insert(&mut *connection, now, row.grant_id, lifetimes).await?;
        sqlx::query_file!("src/postgres/sql/cluster/delete_device_authorization.sql", digest)
            .execute(connection)
            .await?;
        row.outcome = "issued".into();
        row.expires_at = after(now, lifetimes.access_token);
        row.refreshable = Some(refreshable);
        (row.subject, row.scope, row.context) = (grant.subject, Some(grant.scope), grant.context);
        Ok(Some(row))
    }
}
