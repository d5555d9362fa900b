//! [`AuthorizationCodeStorage`] for PostgreSQL.

mod create;
mod session;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use self::create::{CreateCode, CreateCodeInGrant};
use self::session::{CreateCodeInSession, InSession};
use crate::authorization_code::{
    AuthorizationCode, AuthorizationCodeStorage, CodeChallenge, NewAuthorizationCode,
};
use crate::check::check_client_id;
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::cluster;
use crate::postgres::error::Effect;
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
                let (joins, session) = (code.grant_id.is_some(), code.session);
                // The server sets the times.
                let code = AuthorizationCode {
                    grant_id: code.full_grant_id(),
                    client_id: code.client_id,
                    subject: request.subject().map(str::to_owned),
                    scope: code.scope,
                    response_type: code.response_type,
                    redirect_uri: code.redirect_uri,
                    code_challenge: code.code_challenge.map(CodeChallenge::into_stored),
                    issued_at: DateTime::UNIX_EPOCH,
                    expires_at: DateTime::UNIX_EPOCH,
                    expired: false,
                    context,
                };
                let lifetime = micros(request.settings.authorization_code_expires_in);
                let create = CreateCode { digest, lifetime, names_grant, code: code.clone() };
                let unknown = |field| Error::invalid(field, InvalidReason::Unknown);
                let (issued_at, context) = if joins {
                    // Rare, so boxed: the future stays small. The grants of a disabled client are not
                    // found either.
                    let joined = Box::pin(self.connections.run(CreateCodeInGrant(create))).await?;
                    let joined = joined.ok_or_else(|| unknown("grant_id"))?;
                    (joined.now, joined.into_context(code.grant_id)?)
                } else if let Some(sid) = session {
                    let create = CreateCodeInSession { sid, create };
                    match Box::pin(self.connections.run(create)).await? {
                        InSession::Stored(now) => (now, code.context),
                        InSession::UnknownClient => return Err(unknown("client_id")),
                        InSession::UnknownSession => return Err(unknown("session")),
                    }
                } else {
                    let issued_at = self.connections.run(create).await?;
                    (issued_at.ok_or_else(|| unknown("client_id"))?, code.context)
                };
                let expires_at = issued_at + TimeDelta::microseconds(lifetime);
                Ok(AuthorizationCode { issued_at, expires_at, context, ..code })
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

struct CodeRow {
    position: i64,
    grant_id: Uuid,
    client_id: String,
    subject: Option<String>,
    scope: String,
    response_type: String,
    redirect_uri: String,
    code_challenge: Option<String>,
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
        Ok(AuthorizationCode {
            grant_id: row.grant_id,
            client_id: row.client_id,
            subject: row.subject,
            scope: Scope::from_stored(row.scope)
                .map_err(|e| corrupt_grant("scope", row.grant_id, e.to_string()))?,
            response_type: row.response_type.parse().map_err(or_corrupt("response_type"))?,
            redirect_uri: row.redirect_uri,
            code_challenge: row.code_challenge.map(CodeChallenge::from_stored),
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            expired: row.expired,
            context: context::from_column(row.context)
                .map_err(|e| corrupt_grant("context", row.grant_id, e.to_string()))?,
        })
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
