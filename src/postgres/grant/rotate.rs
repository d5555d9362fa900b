use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::check::check_client_id;
use crate::error::{Error, Result};
use crate::grant::TokenRotation;
use crate::postgres::PgStorage;
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster::{self, NewTokenRow, after};
use crate::postgres::error::Effect;
use crate::postgres::grant::SpentRow;
use crate::postgres::token::{
    FindToken, NamedToken, PairColumns, PairDigests, by_position, duplicate_token,
};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::TokenHash;
use crate::settings::micros;
use crate::token::{TokenPair, TokenRef};

/// Spends a refresh token and stores its successors.
pub(super) struct RotateToken {
    digest: TokenHash,
    /// The grant that the token names. Only set on a cluster.
    named_grant: Option<Uuid>,
    client_id: String,
    scope: Option<Scope>,
    /// True if the requested scope is wider than that of the token.
    wider: bool,
    tokens: PairDigests,
    access_lifetime: i64,
    idle_lifetime: Option<i64>,
    grace: i64,
}

impl RotateToken {
    /// Returns `None` if the rotation cannot be valid.
    pub(super) fn new(
        connections: &impl Connections,
        request: &RequestContext,
        rotation: &TokenRotation,
        tokens: &TokenPair,
    ) -> Option<Self> {
        let well_formed =
            rotation.refresh_token.is_well_formed() && check_client_id(&rotation.client_id).is_ok();
        well_formed.then(|| Self {
            digest: rotation.refresh_token.digest(),
            named_grant: connections.grant_of(&rotation.refresh_token),
            client_id: rotation.client_id.clone(),
            scope: rotation.scope.clone(),
            wider: false,
            tokens: PairDigests::new(connections, tokens),
            access_lifetime: micros(request.settings.access_token_expires_in),
            idle_lifetime: request.settings.refresh_token_idle_expires_in.map(micros),
            grace: micros(request.settings.refresh_token_grace),
        })
    }
}

impl<C: Connections> PgStorage<C> {
    /// Returns true if a rotation requests more than its token's scope.
    ///
    /// The scope of a stored token never changes, so it can be compared before the token is spent.
    /// In the shared statement the comparison would be quadratic in the scope and slow down every
    /// other call.
    pub(super) async fn asks_for_more(&self, rotation: &TokenRotation) -> Result<bool> {
        let Some(scope) = &rotation.scope else { return Ok(false) };
        let presented = TokenRef::Refresh(&rotation.refresh_token);
        let Some(named) = NamedToken::new(&self.connections, Some(&rotation.client_id), presented)
        else {
            return Ok(false);
        };
        // If the token is not found, the scope counts as wider: the lookup may have reached another
        // server than the rotation will, and nothing was compared.
        let Some(row) = self.connections.run(FindToken(named.clone())).await? else {
            return Ok(true);
        };
        Ok(row.into_token(&named)?.is_none_or(|token| !scope.is_subset_of(&token.scope)))
    }
}

impl RotateToken {
    pub(super) fn wider(self, wider: bool) -> Self {
        Self { wider, ..self }
    }
}

impl Statement for RotateToken {
    /// `None` for an invalid token.
    type Outcome = Option<SpentRow>;
    const NAME: &'static str = "rotate_refresh_token";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) = each().map(|r| r.digest.halves()).unzip();
        let client_id: Vec<&str> = each().map(|r| r.client_id.as_str()).collect();
        let scope: Vec<Option<&str>> =
            each().map(|r| r.scope.as_ref().map(Scope::as_str)).collect();
        let wider: Vec<bool> = each().map(|r| r.wider).collect();
        let tokens = PairColumns::new(each().map(|r| &r.tokens));
        let access_lifetime: Vec<i64> = each().map(|r| r.access_lifetime).collect();
        let idle_lifetime: Vec<Option<i64>> = each().map(|r| r.idle_lifetime).collect();
        let grace: Vec<i64> = each().map(|r| r.grace).collect();
        let rows = sqlx::query_file_as!(
            SpentRow,
            "src/postgres/sql/rotate_refresh_token.sql",
            &digest,
            &tail,
            &client_id as _,
            &scope as _,
            &wider,
            &tokens.access,
            &tokens.access_tail,
            &tokens.refresh as _,
            &tokens.refresh_tail as _,
            &access_lifetime,
            &idle_lifetime as _,
            &grace,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let grant_id = cluster::grant_of_token(connection, self.named_grant, self.digest).await?;
        let Some(grant_id) = grant_id else { return Ok(None) };
        let mut transaction = connection.begin().await?;
        let spent = self.spend_on_shard(&mut transaction, grant_id).await?;
        transaction.commit().await?;
        Ok(spent)
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}

impl RotateToken {
    /// Does the same as [`run`](Statement::run), in several statements. Returns `None` for an
    /// invalid token; nothing was changed then.
    async fn spend_on_shard(
        &self,
        connection: &mut PgConnection,
        grant_id: Uuid,
    ) -> sqlx::Result<Option<SpentRow>> {
        let Some(now) = cluster::lock_client(connection, &self.client_id).await? else {
            return Ok(None);
        };
        let (digest, tail) = self.digest.halves();
        let old = sqlx::query_file!(
            "src/postgres/sql/cluster/hold_refresh_token.sql",
            grant_id,
            digest,
            tail,
            self.client_id,
            now,
            self.grace,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(old) = old else { return Ok(None) };
        // No token outlives the absolute expiry of the grant's refresh tokens.
        let refresh_end = old.refresh_expires_at.unwrap_or(old.expires_at);
        let access_expires_at = after(now, self.access_lifetime).min(refresh_end);
        let refresh_expires_at =
            self.idle_lifetime.map_or(refresh_end, |idle| after(now, idle).min(refresh_end));
        let kept_scope = old.own_scope.as_deref().unwrap_or(&old.grant_scope);
        let scope = self.scope.as_ref().map_or(kept_scope, Scope::as_str).to_owned();
        let narrower = |scope: &str| (scope != old.grant_scope).then(|| scope.to_owned());
        if old.reused {
            cluster::end_grant(connection, grant_id, None, Some(&self.client_id)).await?;
        } else if !self.wider {
            if old.unspent {
                sqlx::query_file!(
                    "src/postgres/sql/cluster/spend_refresh_token.sql",
                    grant_id,
                    digest,
                    tail,
                    now,
                )
                .execute(&mut *connection)
                .await?;
            }
            self.tokens.refuse_duplicates(connection).await?;
            let (access, refresh) = self.tokens.digests();
            let rows = [
                (access, "a", access_expires_at, narrower(&scope)),
                (refresh.unwrap_or(access), "r", refresh_expires_at, narrower(kept_scope)),
            ];
            for (digest, kind, expires_at, scope) in rows {
                let scope = scope.as_deref();
                let row = NewTokenRow { kind, digest, issued_at: now, expires_at, grant_id, scope };
                row.insert(connection).await?;
            }
            let end = access_expires_at.max(refresh_expires_at);
            let is_first_idle = self.idle_lifetime.is_some() && old.refresh_expires_at.is_none();
            if old.grant_expires_at < end || is_first_idle {
                sqlx::query_file!(
                    "src/postgres/sql/cluster/extend_grant.sql",
                    grant_id,
                    self.client_id,
                    end,
                    Some(refresh_end),
                    end,
                    false,
                )
                .fetch_optional(&mut *connection)
                .await?;
            }
        }
        Ok(Some(SpentRow {
            refreshable: true,
            position: 1,
            replayed: old.reused,
            wider: self.wider,
            grant_id,
            subject: old.subject,
            scope,
            issued_at: now,
            expires_at: access_expires_at,
            context: old.context,
        }))
    }
}
