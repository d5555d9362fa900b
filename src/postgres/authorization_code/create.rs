//! Storing new codes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::authorization_code::{AuthorizationCode, CodeChallenge};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::batching::Statement;
use crate::postgres::cluster::{self, Duplicate, NewGrantRow, after};
use crate::postgres::context;
use crate::postgres::error::{Effect, unique_violation};
use crate::postgres::token::{by_position, corrupt_grant};
use crate::secret::TokenHash;

/// A code to store, except for its times.
pub(super) struct CreateCode {
    pub(super) digest: TokenHash,
    pub(super) lifetime: i64,
    /// Only used on a cluster.
    pub(super) names_grant: bool,
    pub(super) code: AuthorizationCode,
}

impl CreateCode {
    /// Stores the code on a cluster, in a grant that is locked.
    async fn insert(&self, connection: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
        let (code, (digest, tail)) = (&self.code, self.digest.halves());
        // The primary key is unique only within a grant.
        if !self.names_grant {
            cluster::lock_credential(connection, self.digest.halves()).await?;
            let found = cluster::grant_of_code(connection, None, self.digest).await?;
            if found.is_some() {
                return Err(Duplicate("code").into());
            }
        }
        let challenge = code.code_challenge.as_ref();
        sqlx::query_file!(
            "src/postgres/sql/cluster/insert_code.sql",
            now,
            after(now, self.lifetime),
            code.grant_id,
            digest,
            tail,
            code.response_type.to_string(),
            code.redirect_uri,
            challenge.map(CodeChallenge::as_s256),
        )
        .execute(connection)
        .await
        .map(drop)
    }
}

impl CreateCode {
    /// Stores the code and its new grant on a cluster.
    pub(super) async fn insert_in_new_grant(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let code = &self.code;
        self.insert(connection, now).await?;
        let grant = NewGrantRow {
            granted_at: now,
            expires_at: after(now, self.lifetime),
            refresh_expires_at: None,
            grant_id: code.grant_id,
            client_id: &code.client_id,
            subject: code.subject.as_deref(),
            scope: &code.scope,
            context: &code.context,
        };
        grant.insert(connection).await
    }
}

/// The codes of a batch as parameter arrays.
pub(super) struct CodeColumns<'a> {
    pub(super) digest: Vec<Uuid>,
    pub(super) tail: Vec<Uuid>,
    pub(super) grant_id: Vec<Uuid>,
    pub(super) client_id: Vec<&'a str>,
    pub(super) subject: Vec<Option<&'a str>>,
    pub(super) scope: Vec<&'a str>,
    pub(super) response_type: Vec<String>,
    pub(super) redirect_uri: Vec<&'a str>,
    pub(super) code_challenge: Vec<Option<&'a str>>,
    pub(super) lifetime: Vec<i64>,
}

impl<'a> CodeColumns<'a> {
    pub(super) fn new(batch: impl Iterator<Item = &'a CreateCode> + Clone) -> Self {
        let each = || batch.clone().map(|create| &create.code);
        let (digest, tail) = batch.clone().map(|c| c.digest.halves()).unzip();
        Self {
            digest,
            tail,
            grant_id: each().map(|c| c.grant_id).collect(),
            client_id: each().map(|c| c.client_id.as_str()).collect(),
            subject: each().map(|c| c.subject.as_deref()).collect(),
            scope: each().map(|c| c.scope.as_str()).collect(),
            response_type: each().map(|c| c.response_type.to_string()).collect(),
            redirect_uri: each().map(|c| c.redirect_uri.as_str()).collect(),
            code_challenge: each()
                .map(|c| c.code_challenge.as_ref().map(CodeChallenge::as_s256))
                .collect(),
            lifetime: batch.map(|c| c.lifetime).collect(),
        }
    }
}

impl Statement for CreateCode {
    /// The time of issue; `None` for a client that is unknown or disabled.
    type Outcome = Option<DateTime<Utc>>;
    const NAME: &'static str = "create_authorization_code";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let columns = CodeColumns::new(batch.iter());
        let each = || batch.iter().map(|create| &create.code);
        let context: Vec<Option<String>> =
            each().map(|c| context::to_column(&c.context)).collect::<sqlx::Result<_>>()?;

        let owners = sqlx::query_file!(
            "src/postgres/sql/create_authorization_code.sql",
            &columns.digest,
            &columns.tail,
            &columns.grant_id,
            &columns.client_id as _,
            &columns.subject as _,
            &columns.scope as _,
            &columns.response_type,
            &columns.redirect_uri as _,
            &columns.code_challenge as _,
            &columns.lifetime,
            &context as _,
        )
        .fetch_all(connection)
        .await?;
        let owners: HashMap<&str, DateTime<Utc>> =
            owners.iter().map(|owner| (owner.client_id.as_str(), owner.now)).collect();
        Ok(each().map(|code| owners.get(code.client_id.as_str()).copied()).collect())
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let code = &self.code;
        let mut transaction = connection.begin().await?;
        let now = cluster::lock_client(&mut transaction, &code.client_id).await?;
        if let Some(now) = now {
            self.insert_in_new_grant(&mut transaction, now).await?;
        }
        transaction.commit().await?;
        Ok(now)
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        // If the grant that the code names exists, so does the code.
        unique_violation(error).map(|_| Error::invalid("code", InvalidReason::Duplicate))
    }
}

/// A code for an existing grant.
pub(super) struct CreateCodeInGrant(pub(super) CreateCode);

pub(super) struct JoinedRow {
    position: i64,
    pub(super) now: DateTime<Utc>,
    context: Option<String>,
}

impl JoinedRow {
    pub(super) fn into_context(self, grant_id: Uuid) -> Result<GrantContext> {
        context::from_column(self.context)
            .map_err(|e| corrupt_grant("context", grant_id, e.to_string()))
    }
}

impl Statement for CreateCodeInGrant {
    /// `None` if the client and the subject have no such live grant.
    type Outcome = Option<JoinedRow>;
    const NAME: &'static str = "create_authorization_code_in_grant";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let columns = CodeColumns::new(batch.iter().map(|create| &create.0));
        let rows = sqlx::query_file_as!(
            JoinedRow,
            "src/postgres/sql/create_authorization_code_in_grant.sql",
            &columns.digest,
            &columns.tail,
            &columns.grant_id,
            &columns.client_id as _,
            &columns.subject as _,
            &columns.scope as _,
            &columns.response_type,
            &columns.redirect_uri as _,
            &columns.code_challenge as _,
            &columns.lifetime,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let Self(create) = self;
        let code = &create.code;
        let mut transaction = connection.begin().await?;
        let mut joined = None;
        if let Some(now) = cluster::lock_client(&mut transaction, &code.client_id).await? {
            let grant = sqlx::query_file!(
                "src/postgres/sql/cluster/join_live_grant.sql",
                code.grant_id,
                code.client_id,
                code.subject,
                code.scope.as_str(),
                after(now, create.lifetime),
                now,
            )
            .fetch_optional(&mut *transaction)
            .await?;
            joined = grant.map(|grant| JoinedRow { position: 1, now, context: grant.context });
            if joined.is_some() {
                create.insert(&mut transaction, now).await?;
            }
        }
        match joined {
            Some(_) => transaction.commit().await?,
            None => transaction.rollback().await?,
        }
        Ok(joined)
    }

    fn key(&self) -> Option<u128> {
        Some(self.0.code.grant_id.as_u128())
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        self.0.refused(error)
    }
}
