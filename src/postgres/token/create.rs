//! Storing new tokens.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::pair::{LifetimeColumns, PairColumns, PairDigests};
use super::{by_position, corrupt_grant};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster::{self, NewGrantRow, after};
use crate::postgres::error::{Effect, UniqueViolation, unique_violation};
use crate::postgres::telemetry::observe;
use crate::postgres::{PgStorage, context};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::{Secret, TokenHash};
use crate::settings::Lifetimes;
use crate::token::{NewToken, Token, TokenKind, TokenState};

impl<C: Connections> PgStorage<C> {
    /// Not an `async fn`, whose future would contain the new token and be too large (see the test
    /// in `postgres.rs`).
    pub(super) fn create(
        &self,
        request: &RequestContext,
        token: NewToken,
    ) -> impl Future<Output = Result<Token>> + Send {
        let joins = token.grant_id.is_some();
        let grant_id = token.grant_id.unwrap_or_else(|| token.new_grant_id());
        let call =
            observe!(self, create_token on token, client_id = token.client_id, grant_id = grant_id);
        let access = token.tokens.access_token.digest();
        let refresh = token.tokens.refresh_token.as_ref().map(Secret::digest);
        let new =
            CreateToken::new(&self.connections, request, token, grant_id).map(|(create, token)| {
                let created = match joins {
                    false => Ok(Box::pin(self.connections.run(create))),
                    true => Err(Box::pin(self.connections.run(CreateTokenInGrant(create)))),
                };
                (created, token)
            });
        call.run(async move {
            let (created, token) = new?;
            let created = match created {
                Ok(created) => created.await.and_then(|issued_at| {
                    let issued_at =
                        issued_at.ok_or(Error::invalid("client_id", InvalidReason::Unknown));
                    Ok(token.issued(issued_at?))
                }),
                // The grants of a disabled client are not found either.
                Err(joined) => joined.await.and_then(|row| {
                    row.ok_or(Error::invalid("grant_id", InvalidReason::Unknown))?.into_token(token)
                }),
            };
            match created {
                Ok(token) => Ok(token),
                // Rare, so boxed: the future stays small.
                Err(error) => Err(Box::pin(self.which_is_duplicate(error, access, refresh)).await),
            }
        })
    }
}

struct CreateToken {
    tokens: PairDigests,
    client_id: String,
    subject: Option<String>,
    scope: Scope,
    grant_id: Uuid,
    lifetimes: Lifetimes,
    context: GrantContext,
}

/// The access token to return, except for its times.
struct Unissued(Box<Token>, TimeDelta);

impl Unissued {
    fn issued(self, at: DateTime<Utc>) -> Token {
        Token { issued_at: at, expires_at: at + self.1, ..*self.0 }
    }
}

impl CreateToken {
    fn new(
        connections: &impl Connections,
        request: &RequestContext,
        new: NewToken,
        grant_id: Uuid,
    ) -> Result<(Self, Unissued)> {
        new.check(request)?;
        let context = new.full_context(request);
        let subject = new.full_subject(request).map(str::to_owned);
        let lifetimes = Lifetimes::new(&request.settings, new.tokens.refresh_token.is_some());
        let create = Self {
            tokens: PairDigests::new(connections, &new.tokens),
            client_id: new.client_id,
            subject,
            scope: new.scope,
            grant_id,
            lifetimes,
            context,
        };
        let token = Token {
            kind: TokenKind::Access,
            grant_id: create.grant_id,
            client_id: create.client_id.clone(),
            subject: create.subject.clone(),
            scope: create.scope.clone(),
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
            state: TokenState::Active,
            context: create.context.clone(),
        };
        let lifetime = TimeDelta::microseconds(lifetimes.access_token);
        Ok((create, Unissued(Box::new(token), lifetime)))
    }
}

impl Statement for CreateToken {
    /// The time of issue; `None` for a client that is unknown or disabled.
    type Outcome = Option<DateTime<Utc>>;
    const NAME: &'static str = "create_token";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let tokens = PairColumns::new(each().map(|c| &c.tokens));
        let client_id: Vec<&str> = each().map(|c| c.client_id.as_str()).collect();
        let subject: Vec<Option<&str>> = each().map(|c| c.subject.as_deref()).collect();
        let scope: Vec<&str> = each().map(|c| c.scope.as_str()).collect();
        let grant_id: Vec<Uuid> = each().map(|c| c.grant_id).collect();
        let lifetimes = LifetimeColumns::new(each().map(|c| &c.lifetimes));
        let context: Vec<Option<String>> =
            each().map(|c| context::to_column(&c.context)).collect::<sqlx::Result<_>>()?;
        let owners = sqlx::query_file!(
            "src/postgres/sql/create_token.sql",
            &tokens.access,
            &tokens.access_tail,
            &tokens.refresh as _,
            &tokens.refresh_tail as _,
            &client_id as _,
            &subject as _,
            &scope as _,
            &grant_id,
            &lifetimes.access_token,
            &lifetimes.refresh_token,
            &lifetimes.grant,
            &lifetimes.refresh_end as _,
            &context as _,
        )
        .fetch_all(connection)
        .await?;
        let owners: HashMap<&str, DateTime<Utc>> =
            owners.iter().map(|owner| (owner.client_id.as_str(), owner.now)).collect();
        Ok(each().map(|create| owners.get(create.client_id.as_str()).copied()).collect())
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let mut transaction = connection.begin().await?;
        let now = cluster::lock_client(&mut transaction, &self.client_id).await?;
        if let Some(now) = now {
            let grant = NewGrantRow {
                granted_at: now,
                expires_at: after(now, self.lifetimes.grant),
                refresh_expires_at: self.lifetimes.refresh_end.map(|end| after(now, end)),
                grant_id: self.grant_id,
                client_id: &self.client_id,
                subject: self.subject.as_deref(),
                scope: &self.scope,
                context: &self.context,
            };
            grant.insert(&mut transaction).await?;
            self.tokens.insert(&mut transaction, now, self.grant_id, &self.lifetimes).await?;
        }
        transaction.commit().await?;
        Ok(now)
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error)
    }
}

/// Tokens for an existing grant.
struct CreateTokenInGrant(CreateToken);

struct JoinedRow {
    position: i64,
    /// True if the grant was revoked, so that the tokens are not active.
    revoked: bool,
    now: DateTime<Utc>,
    context: Option<String>,
}

impl JoinedRow {
    fn into_token(self, token: Unissued) -> Result<Token> {
        let mut token = token.issued(self.now);
        token.state = TokenState::new(self.revoked, false, false);
        token.context = context::from_column(self.context)
            .map_err(|e| corrupt_grant("context", token.grant_id, e.to_string()))?;
        Ok(token)
    }
}

impl Statement for CreateTokenInGrant {
    /// `None` if the client and the subject have no such grant.
    type Outcome = Option<JoinedRow>;
    const NAME: &'static str = "create_token_in_grant";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter().map(|create| &create.0);
        let tokens = PairColumns::new(each().map(|c| &c.tokens));
        let client_id: Vec<&str> = each().map(|c| c.client_id.as_str()).collect();
        let subject: Vec<Option<&str>> = each().map(|c| c.subject.as_deref()).collect();
        let scope: Vec<&str> = each().map(|c| c.scope.as_str()).collect();
        let grant_id: Vec<Uuid> = each().map(|c| c.grant_id).collect();
        let lifetimes = LifetimeColumns::new(each().map(|c| &c.lifetimes));
        let rows = sqlx::query_file_as!(
            JoinedRow,
            "src/postgres/sql/create_token_in_grant.sql",
            &tokens.access,
            &tokens.access_tail,
            &tokens.refresh as _,
            &tokens.refresh_tail as _,
            &client_id as _,
            &subject as _,
            &scope as _,
            &grant_id,
            &lifetimes.access_token,
            &lifetimes.refresh_token,
            &lifetimes.grant,
            &lifetimes.refresh_end as _,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let create = &self.0;
        let mut transaction = connection.begin().await?;
        let Some(now) = cluster::lock_client(&mut transaction, &create.client_id).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let grant = sqlx::query_file!(
            "src/postgres/sql/cluster/join_grant.sql",
            create.grant_id,
            create.client_id,
            create.subject,
            after(now, create.lifetimes.grant),
            create.lifetimes.refresh_end.map(|end| after(now, end)),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(grant) = grant else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let scope = Some(create.scope.as_str()).filter(|scope| *scope != grant.scope);
        let (tokens, lifetimes) = (&create.tokens, &create.lifetimes);
        tokens.insert_with_scope(&mut transaction, now, create.grant_id, lifetimes, scope).await?;
        transaction.commit().await?;
        Ok(Some(JoinedRow { position: 1, revoked: grant.revoked, now, context: grant.context }))
    }

    fn key(&self) -> Option<u128> {
        Some(self.0.grant_id.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        self.0.refused(error)
    }
}

/// Returns the error of a unique violation, with the grant or the access token as its field. See
/// [`PgStorage::which_is_duplicate`].
pub(in crate::postgres) fn duplicate_token(error: &PgDatabaseError) -> Option<Error> {
    let field = match unique_violation(error)? {
        UniqueViolation::Of("authorization_grant_pkey") => "grant_id",
        UniqueViolation::Of("token_pkey") | UniqueViolation::OnShard => "access_token",
        UniqueViolation::Of(_) => return None,
    };
    Some(Error::invalid(field, InvalidReason::Duplicate))
}

impl<C: Connections> PgStorage<C> {
    /// Changes the field of a duplicate error to the refresh token or, on a cluster, the grant, if
    /// that is what exists. The server says so only in a localized text.
    pub(in crate::postgres) async fn which_is_duplicate(
        &self,
        error: Error,
        access: TokenHash,
        refresh: Option<TokenHash>,
    ) -> Error {
        let is_duplicate = matches!(
            error,
            Error::Invalid { field: "access_token", reason: InvalidReason::Duplicate }
        );
        if !is_duplicate {
            return error;
        }
        let exists = async |digest: Option<TokenHash>| match digest {
            // The lookup fails in a transaction that the statement has aborted, and finds nothing
            // after a purge.
            Some(digest) => self.token_exists(digest).await.unwrap_or(false),
            None => false,
        };
        if exists(refresh).await {
            return Error::invalid("refresh_token", InvalidReason::Duplicate);
        }
        if self.connections.is_cluster() && !exists(Some(access)).await {
            return Error::invalid("grant_id", InvalidReason::Duplicate);
        }
        error
    }

    async fn token_exists(&self, digest: TokenHash) -> Result<bool> {
        let (digest, tail) = digest.halves();
        let mut call = self.connections.begin(Effect::Read).await?;
        call.statement(|connection| {
            sqlx::query_file_scalar!("src/postgres/sql/token_exists.sql", digest, tail)
                .fetch_one(connection)
        })
        .await
    }
}
