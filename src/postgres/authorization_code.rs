//! [`AuthorizationCodeStorage`] for PostgreSQL.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::authorization_code::{
    AuthorizationCode, AuthorizationCodeStorage, CodeChallenge, NewAuthorizationCode,
};
use crate::check::check_client_id;
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster::{self, Duplicate, NewGrantRow, after};
use crate::postgres::error::{Effect, unique_violation};
use crate::postgres::telemetry::observe;
use crate::postgres::token::{by_position, corrupt_grant};
use crate::postgres::{PgStorage, context};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::{Secret, TokenHash};
use crate::settings::micros;

#[async_trait]
impl<C: Connections> AuthorizationCodeStorage for PgStorage<C> {
    async fn create_authorization_code(
        &self,
        request: &RequestContext,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode> {
        observe!(self, create_authorization_code on authorization_code, client_id = code.client_id)
            .run(async {
                code.check(request)?;
                let (digest, context) = (code.code.digest(), code.full_context(request));
                let names_grant = self.connections.grant_of(&code.code).is_some();
                // The server sets the times.
                let code = AuthorizationCode {
                    grant_id: code.new_grant_id(),
                    client_id: code.client_id,
                    subject: request.subject().map(str::to_owned),
                    scope: code.scope,
                    response_type: code.response_type,
                    redirect_uri: code.redirect_uri,
                    code_challenge: code.code_challenge,
                    issued_at: DateTime::UNIX_EPOCH,
                    expires_at: DateTime::UNIX_EPOCH,
                    expired: false,
                    context,
                };
                let lifetime = micros(request.settings.authorization_code_expires_in);
                let create = CreateCode { digest, lifetime, names_grant, code: code.clone() };
                let issued_at = self.connections.run(create).await?;
                let issued_at =
                    issued_at.ok_or(Error::invalid("client_id", InvalidReason::Unknown))?;
                let expires_at = issued_at + TimeDelta::microseconds(lifetime);
                Ok(AuthorizationCode { issued_at, expires_at, ..code })
            })
            .await
    }

    async fn get_authorization_code(
        &self,
        _request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>> {
        observe!(self, get_authorization_code on authorization_code, client_id)
            .run(async {
                let Some(named) = NamedCode::new(&self.connections, client_id, code) else {
                    return Ok(None);
                };
                let digest = named.digest;
                match self.connections.run(FindCode(named)).await? {
                    Some(row) => row.into_code(digest).map(Some),
                    None => Ok(None),
                }
            })
            .await
    }

    async fn delete_authorization_code(
        &self,
        _request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<()> {
        observe!(self, delete_authorization_code on authorization_code, client_id)
            .run(async {
                let Some(named) = NamedCode::new(&self.connections, client_id, code) else {
                    return Ok(());
                };
                self.connections.run(DeleteCode(named)).await
            })
            .await
    }
}

struct CreateCode {
    digest: TokenHash,
    lifetime: i64,
    /// Only used on a cluster.
    names_grant: bool,
    code: AuthorizationCode,
}

struct CodeRow {
    position: i64,
    grant_id: Uuid,
    client_id: String,
    subject: Option<String>,
    scope: String,
    response_type: String,
    redirect_uri: String,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    expired: bool,
    context: Option<String>,
}

impl CodeRow {
    fn into_code(self, digest: TokenHash) -> Result<AuthorizationCode> {
        let row = self;
        let corrupt = |column, message: String| Error::Corrupt {
            table: "oauth_storage.authorization_code",
            column,
            row: digest.to_string(),
            message,
        };
        let or_corrupt = |column| move |error: Error| corrupt(column, error.to_string());
        let code_challenge = match (row.code_challenge, row.code_challenge_method) {
            (Some(challenge), Some(method)) => {
                let method = method.parse().map_err(or_corrupt("code_challenge_method"))?;
                Some(CodeChallenge::from_stored(challenge, method))
            }
            // Both are null: a constraint forbids one without the other.
            _ => None,
        };
        Ok(AuthorizationCode {
            grant_id: row.grant_id,
            client_id: row.client_id,
            subject: row.subject,
            scope: Scope::from_stored(row.scope)
                .map_err(|e| corrupt_grant("scope", row.grant_id, e.to_string()))?,
            response_type: row.response_type.parse().map_err(or_corrupt("response_type"))?,
            redirect_uri: row.redirect_uri,
            code_challenge,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            expired: row.expired,
            context: context::from_column(row.context)
                .map_err(|e| corrupt_grant("context", row.grant_id, e.to_string()))?,
        })
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
        let each = || batch.iter().map(|create| &create.code);
        let challenge = || each().map(|c| c.code_challenge.as_ref());
        let (digest, tail): (Vec<Uuid>, Vec<Uuid>) =
            batch.iter().map(|c| c.digest.halves()).unzip();
        let grant_id: Vec<Uuid> = each().map(|c| c.grant_id).collect();
        let client_id: Vec<&str> = each().map(|c| c.client_id.as_str()).collect();
        let subject: Vec<Option<&str>> = each().map(|c| c.subject.as_deref()).collect();
        let scope: Vec<&str> = each().map(|c| c.scope.as_str()).collect();
        let response_type: Vec<String> = each().map(|c| c.response_type.to_string()).collect();
        let redirect_uri: Vec<&str> = each().map(|c| c.redirect_uri.as_str()).collect();
        let code_challenge: Vec<Option<&str>> =
            challenge().map(|c| c.map(CodeChallenge::as_s256)).collect();
        let code_challenge_method: Vec<Option<&str>> =
            challenge().map(|c| c.map(|c| c.method().as_str())).collect();
        let lifetime: Vec<i64> = batch.iter().map(|c| c.lifetime).collect();
        let context: Vec<Option<String>> =
            each().map(|c| context::to_column(&c.context)).collect::<sqlx::Result<_>>()?;

        let owners = sqlx::query_file!(
            "src/postgres/sql/create_authorization_code.sql",
            &digest,
            &tail,
            &grant_id,
            &client_id as _,
            &subject as _,
            &scope as _,
            &response_type,
            &redirect_uri as _,
            &code_challenge as _,
            &code_challenge_method as _,
            &lifetime,
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
            // The primary key is unique only within a grant.
            if !self.names_grant {
                cluster::lock_credential(&mut transaction, self.digest.halves()).await?;
                let found = cluster::grant_of_code(&mut transaction, None, self.digest).await?;
                if found.is_some() {
                    return Err(Duplicate("code").into());
                }
            }
            let (digest, tail) = self.digest.halves();
            let expires_at = after(now, self.lifetime);
            let challenge = code.code_challenge.as_ref();
            sqlx::query_file!(
                "src/postgres/sql/cluster/insert_code.sql",
                now,
                expires_at,
                code.grant_id,
                digest,
                tail,
                code.response_type.to_string(),
                code.redirect_uri,
                challenge.map(CodeChallenge::as_s256),
                challenge.map(|challenge| challenge.method().as_str()),
            )
            .execute(&mut *transaction)
            .await?;
            let grant = NewGrantRow {
                granted_at: now,
                expires_at,
                refresh_expires_at: None,
                grant_id: code.grant_id,
                client_id: &code.client_id,
                subject: code.subject.as_deref(),
                scope: &code.scope,
                context: &code.context,
            };
            grant.insert(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(now)
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        // If the grant that the code names exists, so does the code.
        unique_violation(error).map(|_| Error::invalid("code", InvalidReason::Duplicate))
    }
}

/// A code and the client that presents it.
struct NamedCode {
    digest: TokenHash,
    client_id: String,
    /// The grant that the code names. Only set on a cluster.
    grant_id: Option<Uuid>,
}

impl NamedCode {
    /// Returns `None` if the code or the client identifier is malformed, so that nothing can be
    /// found.
    fn new(connections: &impl Connections, client_id: &str, code: &Secret) -> Option<Self> {
        (code.is_well_formed() && check_client_id(client_id).is_ok()).then(|| Self {
            digest: code.digest(),
            client_id: client_id.to_owned(),
            grant_id: connections.grant_of(code),
        })
    }

    fn columns(batch: &[impl AsRef<Self>]) -> (Vec<Uuid>, Vec<Uuid>, Vec<&str>) {
        let named = || batch.iter().map(AsRef::as_ref);
        let (digest, tail) = named().map(|named| named.digest.halves()).unzip();
        (digest, tail, named().map(|named| named.client_id.as_str()).collect())
    }
}

impl AsRef<NamedCode> for FindCode {
    fn as_ref(&self) -> &NamedCode {
        &self.0
    }
}

impl AsRef<NamedCode> for DeleteCode {
    fn as_ref(&self) -> &NamedCode {
        &self.0
    }
}

struct FindCode(NamedCode);

impl Statement for FindCode {
    type Outcome = Option<CodeRow>;
    const NAME: &'static str = "get_authorization_code";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail, client_id) = NamedCode::columns(batch);
        let rows = sqlx::query_file_as!(
            CodeRow,
            "src/postgres/sql/find_authorization_code.sql",
            &digest,
            &tail,
            &client_id as _,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let named = &self.0;
        let grant_id = cluster::grant_of_code(connection, named.grant_id, named.digest).await?;
        let Some(grant_id) = grant_id else { return Ok(None) };
        let (digest, tail) = named.digest.halves();
        sqlx::query_file_as!(
            CodeRow,
            "src/postgres/sql/cluster/find_code.sql",
            grant_id,
            digest,
            tail,
            named.client_id,
        )
        .fetch_optional(connection)
        .await
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.authorization_code", self.0.digest.to_string()))
    }
}

struct DeleteCode(NamedCode);

impl Statement for DeleteCode {
    type Outcome = ();
    const NAME: &'static str = "delete_authorization_code";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail, client_id) = NamedCode::columns(batch);
        sqlx::query_file!(
            "src/postgres/sql/delete_authorization_code.sql",
            &digest,
            &tail,
            &client_id as _,
        )
        .execute(connection)
        .await?;
        Ok(vec![(); batch.len()])
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        let named = &self.0;
        let grant_id = cluster::grant_of_code(connection, named.grant_id, named.digest).await?;
        let Some(grant_id) = grant_id else { return Ok(()) };
        let (digest, tail) = named.digest.halves();
        sqlx::query_file!(
            "src/postgres/sql/cluster/delete_code.sql",
            grant_id,
            digest,
            tail,
            named.client_id,
        )
        .execute(connection)
        .await
        .map(drop)
    }

    fn key(&self) -> Option<u128> {
        Some(self.0.digest.halves().0.as_u128())
    }
}
