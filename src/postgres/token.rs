//! [`TokenStorage`] for PostgreSQL.

mod create;
mod pair;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::check::check_client_id;
use crate::error::{Error, Result};
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::error::Effect;
use crate::postgres::telemetry::observe;
use crate::postgres::{PgStorage, cluster, context};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::TokenHash;
use crate::token::{NewToken, Token, TokenKind, TokenRef, TokenState, TokenStorage};
pub(super) use create::duplicate_token;
pub(super) use pair::{LifetimeColumns, PairColumns, PairDigests};

#[async_trait]
impl<C: Connections> TokenStorage for PgStorage<C> {
    async fn create_token(&self, request: &RequestContext, token: NewToken) -> Result<Token> {
        // Boxed: with the arguments in one future it would be too large for the allocator's cache.
        Box::pin(self.create(request, token)).await
    }

    async fn get_token(
        &self,
        _request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>> {
        observe!(self, get_token on token, client_id)
            .run(async {
                let Some(named) = NamedToken::new(&self.connections, Some(client_id), token) else {
                    return Ok(None);
                };
                match self.connections.run(FindToken(named.clone())).await? {
                    Some(row) => row.into_token(&named),
                    None => Ok(None),
                }
            })
            .await
    }

    async fn revoke_token(
        &self,
        _request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()> {
        observe!(self, revoke_token on token, client_id)
            .run(async {
                let Some(named) = NamedToken::new(&self.connections, Some(client_id), token) else {
                    return Ok(());
                };
                self.connections.run(RevokeToken(named)).await
            })
            .await
    }
}

/// Puts each row at the place of its call in the batch. Positions count from one.
pub(super) fn by_position<T>(len: usize, rows: impl Iterator<Item = (i64, T)>) -> Vec<Option<T>> {
    let mut outcomes: Vec<Option<T>> = std::iter::repeat_with(|| None).take(len).collect();
    for (position, row) in rows {
        let index = usize::try_from(position - 1).ok();
        if let Some(outcome) = index.and_then(|index| outcomes.get_mut(index)) {
            *outcome = Some(row);
        }
    }
    outcomes
}

/// A token and the client that presents it.
#[derive(Clone)]
pub(super) struct NamedToken {
    pub(super) digest: TokenHash,
    /// The client that the token must belong to; `None` for introspection, which accepts any.
    client_id: Option<String>,
    kind: Option<TokenKind>,
    /// The grant that the token names. Only set on a cluster.
    grant_id: Option<Uuid>,
}

impl NamedToken {
    /// Returns `None` if the token or the client identifier is malformed, so that nothing can be
    /// found.
    pub(super) fn new(
        connections: &impl Connections,
        client_id: Option<&str>,
        token: TokenRef<'_>,
    ) -> Option<Self> {
        let well_formed = token.secret().is_well_formed()
            && client_id.is_none_or(|client_id| check_client_id(client_id).is_ok());
        well_formed.then(|| Self {
            digest: token.secret().digest(),
            client_id: client_id.map(str::to_owned),
            kind: token.kind(),
            grant_id: connections.grant_of(token.secret()),
        })
    }
}

pub(super) struct FindToken(pub(super) NamedToken);

#[derive(Clone)]
pub(super) struct TokenRow {
    digest: Uuid,
    digest_tail: Uuid,
    grant_id: Uuid,
    /// The byte of a `"char"`.
    kind: i8,
    client_id: String,
    subject: Option<String>,
    scope: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// The byte of a `"char"`.
    state: i8,
    context: Option<String>,
}

impl TokenRow {
    pub(super) fn is_active(&self) -> bool {
        self.state() == TokenState::Active
    }

    fn state(&self) -> TokenState {
        match u8::try_from(self.state) {
            Ok(b'a') => TokenState::Active,
            Ok(b'o') => TokenState::Rotated,
            Ok(b'e') => TokenState::Expired,
            _ => TokenState::Revoked,
        }
    }

    /// Returns the record of the row; `None` if it is not the named token.
    pub(super) fn into_token(self: Arc<Self>, named: &NamedToken) -> Result<Option<Token>> {
        let row = Arc::unwrap_or_clone(self);
        let corrupt = |column, message| corrupt(column, &named.digest, message);
        let kind = match u8::try_from(row.kind) {
            Ok(b'a') => TokenKind::Access,
            Ok(b'r') => TokenKind::Refresh,
            _ => return Err(corrupt("kind", format!("unknown kind {}", row.kind))),
        };
        if (row.digest, row.digest_tail) != named.digest.halves()
            || named.client_id.as_ref().is_some_and(|client_id| *client_id != row.client_id)
            || named.kind.is_some_and(|named| named != kind)
        {
            return Ok(None);
        }
        Ok(Some(Token {
            kind,
            grant_id: row.grant_id,
            state: row.state(),
            client_id: row.client_id,
            subject: row.subject,
            scope: Scope::from_stored(row.scope).map_err(|e| corrupt("scope", e.to_string()))?,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            context: context::from_column(row.context)
                .map_err(|e| corrupt_grant("context", row.grant_id, e.to_string()))?,
        }))
    }
}

/// The error of an invalid value in `token`.
pub(super) fn corrupt(column: &'static str, digest: &TokenHash, message: String) -> Error {
    Error::Corrupt { table: "oauth_storage.token", column, row: digest.to_string(), message }
}

/// The error of an invalid value in `authorization_grant`.
pub(super) fn corrupt_grant(column: &'static str, grant_id: Uuid, message: String) -> Error {
    let table = "oauth_storage.authorization_grant";
    Error::Corrupt { table, column, row: grant_id.to_string(), message }
}

impl Statement for FindToken {
    /// Calls of a batch that find the same token share its row.
    type Outcome = Option<Arc<TokenRow>>;
    const NAME: &'static str = "find_token";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let digest: Vec<Uuid> = batch.iter().map(|find| find.0.digest.halves().0).collect();
        let rows = sqlx::query_file_as!(TokenRow, "src/postgres/sql/find_token.sql", &digest)
            .fetch_all(connection)
            .await?;
        let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.digest, Arc::new(row))).collect();
        Ok(digest.iter().map(|digest| rows.get(digest).cloned()).collect())
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let named = &self.0;
        let grant_id = cluster::grant_of_token(connection, named.grant_id, named.digest).await?;
        let Some(grant_id) = grant_id else { return Ok(None) };
        let (digest, tail) = named.digest.halves();
        let row = sqlx::query_file_as!(
            TokenRow,
            "src/postgres/sql/cluster/find_token.sql",
            grant_id,
            digest,
            tail,
        )
        .fetch_optional(connection)
        .await?;
        Ok(row.map(Arc::new))
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.token", self.0.digest.to_string()))
    }
}

/// The value of the column `kind`.
const fn code(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Access => "a",
        TokenKind::Refresh => "r",
    }
}

struct RevokeToken(NamedToken);

impl Statement for RevokeToken {
    type Outcome = ();
    const NAME: &'static str = "revoke_token";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) =
            batch.iter().map(|revoke| revoke.0.digest.halves()).unzip();
        let client_id: Vec<Option<&str>> = batch.iter().map(|r| r.0.client_id.as_deref()).collect();
        let kind: Vec<Option<&str>> = batch.iter().map(|r| r.0.kind.map(code)).collect();
        sqlx::query_file!(
            "src/postgres/sql/revoke_token.sql",
            &digest,
            &tail,
            &client_id as _,
            &kind as _
        )
        .execute(connection)
        .await?;
        Ok(vec![(); batch.len()])
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let named = &self.0;
        let grant_id = cluster::grant_of_token(connection, named.grant_id, named.digest).await?;
        let Some(grant_id) = grant_id else { return Ok(()) };
        let client_id = named.client_id.as_deref();
        let (digest, tail) = named.digest.halves();
        let mut transaction = connection.begin().await?;
        let flagged = sqlx::query_file!(
            "src/postgres/sql/cluster/flag_token.sql",
            grant_id,
            digest,
            tail,
            named.kind.map(code),
            client_id,
        )
        .execute(&mut *transaction)
        .await?;
        if flagged.rows_affected() > 0 {
            cluster::end_grant(&mut transaction, grant_id, None, client_id).await?;
        }
        transaction.commit().await
    }

    fn key(&self) -> Option<u128> {
        Some(self.0.digest.halves().0.as_u128())
    }
}
