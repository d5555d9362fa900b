use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::model::{Scope, TokenPair, TokenRef, TokenRotation, check_client_id, micros};
use crate::postgres::PgStorage;
use crate::postgres::error::Effect;
use crate::postgres::executor::{Connections, Operation};
use crate::postgres::grant::SpentRow;
use crate::postgres::token::{
    FindToken, NamedToken, PairColumns, PairDigests, by_position, duplicate_token,
};
use crate::request::Request;
use crate::secret::Digest;

/// Spends a refresh token and stores its successors.
pub(super) struct RotateToken {
    digest: Digest,
    client_id: String,
    scope: Option<Scope>,
    /// The requested scope is wider than that of the token.
    wider: bool,
    tokens: PairDigests,
    access_lifetime: i64,
    idle_lifetime: Option<i64>,
    grace: i64,
}

impl RotateToken {
    /// `None` for what cannot be valid.
    pub(super) fn new(
        request: &Request,
        rotation: &TokenRotation,
        tokens: &TokenPair,
    ) -> Option<Self> {
        let well_formed =
            rotation.refresh_token.is_well_formed() && check_client_id(&rotation.client_id).is_ok();
        well_formed.then(|| Self {
            digest: rotation.refresh_token.digest(),
            client_id: rotation.client_id.clone(),
            scope: rotation.scope.clone(),
            wider: false,
            tokens: PairDigests::new(tokens),
            access_lifetime: micros(request.settings.access_token_expires_in),
            idle_lifetime: request.settings.refresh_token_idle_expires_in.map(micros),
            grace: micros(request.settings.refresh_token_grace),
        })
    }
}

impl<C: Connections> PgStorage<C> {
    /// Returns true if a rotation asks for more than its token's scope.
    ///
    /// The scope of a stored token never changes, so it can be compared before the token is spent.
    /// In the shared statement the comparison would take a time that grows with the square of the
    /// scope, at the cost of every other call.
    pub(super) async fn asks_for_more(&self, rotation: &TokenRotation) -> Result<bool> {
        let Some(scope) = &rotation.scope else { return Ok(false) };
        let presented = TokenRef::Refresh(&rotation.refresh_token);
        let Some(named) = NamedToken::new(Some(&rotation.client_id), presented) else {
            return Ok(false);
        };
        let Some(row) = self.connections.run(FindToken(named.clone())).await? else {
            return Ok(false);
        };
        Ok(row.into_token(&named)?.is_some_and(|token| !scope.is_subset_of(&token.scope)))
    }
}

impl RotateToken {
    pub(super) fn wider(self, wider: bool) -> Self {
        Self { wider, ..self }
    }
}

impl Operation for RotateToken {
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

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}
