use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::authorization_code::CodeChallenge;
use crate::error::Error;
use crate::grant::CodeRedemption;
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster::{self, after};
use crate::postgres::error::Effect;
use crate::postgres::grant::SpentRow;
use crate::postgres::token::{
    LifetimeColumns, PairColumns, PairDigests, by_position, duplicate_token,
};
use crate::request::RequestContext;
use crate::secret::TokenHash;
use crate::settings::{Lifetimes, OFFLINE_ACCESS};
use crate::token::TokenPair;

/// Spends a code and stores its tokens.
pub(super) struct RedeemCode {
    digest: TokenHash,
    /// The grant that the code names. Only set on a cluster.
    named_grant: Option<Uuid>,
    client_id: String,
    redirect_uri: String,
    code_challenge: Option<CodeChallenge>,
    tokens: PairDigests,
    lifetimes: Lifetimes,
    /// True if a refresh token needs the scope `offline_access`.
    only_offline: bool,
}

impl RedeemCode {
    /// Returns `None` if the redemption cannot be valid.
    pub(super) fn new(
        connections: &impl Connections,
        request: &RequestContext,
        redemption: &CodeRedemption,
        tokens: &TokenPair,
    ) -> Option<Self> {
        let code_challenge = redemption.expected_challenge()?;
        Some(Self {
            digest: redemption.code.digest(),
            named_grant: connections.grant_of(&redemption.code),
            client_id: redemption.client_id.clone(),
            redirect_uri: redemption.redirect_uri.clone(),
            code_challenge,
            tokens: PairDigests::new(connections, tokens),
            lifetimes: Lifetimes::new(&request.settings, tokens.refresh_token.is_some()),
            only_offline: request.settings.require_offline_access,
        })
    }
}

impl Statement for RedeemCode {
    /// `None` for an invalid code.
    type Outcome = Option<SpentRow>;
    const NAME: &'static str = "redeem_authorization_code";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|r| r.digest.halves()).unzip();
        let client_id: Vec<&str> = each().map(|r| r.client_id.as_str()).collect();
        let redirect_uri: Vec<&str> = each().map(|r| r.redirect_uri.as_str()).collect();
        let code_challenge: Vec<Option<&str>> =
            each().map(|r| r.code_challenge.as_ref().map(CodeChallenge::as_s256)).collect();
        let tokens = PairColumns::new(each().map(|r| &r.tokens));
        let lifetimes = LifetimeColumns::new(each().map(|r| &r.lifetimes));
        let only_offline: Vec<bool> = each().map(|r| r.only_offline).collect();
        let rows = sqlx::query_file_as!(
            SpentRow,
            "src/postgres/sql/redeem_authorization_code.sql",
            &digest,
            &tail,
            &client_id as _,
            &redirect_uri as _,
            &code_challenge as _,
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
        let grant_id = cluster::grant_of_code(connection, self.named_grant, self.digest).await?;
        let Some(grant_id) = grant_id else { return Ok(None) };
        let mut transaction = connection.begin().await?;
        let spent = self.spend_on_shard(&mut transaction, grant_id).await?;
        match spent {
            Some(_) => transaction.commit().await?,
            None => transaction.rollback().await?,
        }
        Ok(spent)
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}

impl RedeemCode {
    /// Does the same as [`run`](Statement::run), in several statements. Returns `None` for an
    /// invalid code; the transaction must be rolled back then.
    async fn spend_on_shard(
        &self,
        connection: &mut PgConnection,
        grant_id: Uuid,
    ) -> sqlx::Result<Option<SpentRow>> {
        let Some(now) = cluster::lock_client(connection, &self.client_id).await? else {
            return Ok(None);
        };
        let (digest, tail) = self.digest.halves();
        let challenge = self.code_challenge.as_ref().map(CodeChallenge::as_s256);
        let spent = sqlx::query_file!(
            "src/postgres/sql/cluster/spend_code.sql",
            grant_id,
            digest,
            tail,
            self.redirect_uri,
            challenge,
            now,
        )
        .execute(&mut *connection)
        .await?;
        let replayed = spent.rows_affected() == 0;
        if replayed {
            let is_spent = sqlx::query_file_scalar!(
                "src/postgres/sql/cluster/is_spent_code.sql",
                grant_id,
                digest,
                tail,
                self.redirect_uri,
                challenge,
                now,
            )
            .fetch_one(&mut *connection)
            .await?;
            if !is_spent
                || !cluster::end_grant(connection, grant_id, None, Some(&self.client_id)).await?
            {
                return Ok(None);
            }
        }
        let lifetimes = &self.lifetimes;
        let (mut subject, mut scope, mut context) = (None, String::new(), None);
        let mut refreshable = false;
        if !replayed {
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
            (subject, scope, context) = (grant.subject, grant.scope, grant.context);
            refreshable = !self.only_offline || has_offline_access(&scope);
            let tokens =
                if refreshable { self.tokens } else { self.tokens.without_refresh_token() };
            tokens.insert(connection, now, grant_id, lifetimes).await?;
        }
        Ok(Some(SpentRow {
            position: 1,
            replayed,
            wider: false,
            grant_id,
            subject,
            scope,
            issued_at: now,
            expires_at: after(now, lifetimes.access_token),
            context,
            refreshable,
        }))
    }
}

pub(in crate::postgres) fn has_offline_access(scope: &str) -> bool {
    scope.split(' ').any(|token| token == OFFLINE_ACCESS)
}
