//! Authorization codes: how the questions of [`AuthorizationCodeStorage`] are answered.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::{
    AuthorizationCode, CodeChallenge, NewAuthorizationCode, check_client_id, micros,
};
use crate::postgres::PgStorage;
use crate::postgres::context;
use crate::postgres::error::{Effect, is_duplicate};
use crate::postgres::executor::{Connections, Operation};
use crate::postgres::observe::observe;
use crate::postgres::token::{alone, by_position};
use crate::request::Request;
use crate::secret::{Digest, Secret};
use crate::storage::AuthorizationCodeStorage;

#[async_trait]
impl<C: Connections> AuthorizationCodeStorage for PgStorage<C> {
    async fn create_authorization_code(
        &self,
        request: &Request,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode> {
        observe!(self, create_authorization_code on authorization_code, client_id = code.client_id)
            .run(async {
                code.check(request)?;
                let (digest, context) = (code.code.digest(), code.full_context(request));
                // The times are the server's to say.
                let code = AuthorizationCode {
                    grant_id: Uuid::now_v7(),
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
                let create = CreateCode { digest, lifetime, code: code.clone() };
                let issued_at = self.connections.run(create).await?;
                let issued_at = issued_at.ok_or(Error::invalid("client_id", Problem::Unknown))?;
                let expires_at = issued_at + TimeDelta::microseconds(lifetime);
                Ok(AuthorizationCode { issued_at, expires_at, ..code })
            })
            .await
    }

    async fn get_authorization_code(
        &self,
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>> {
        observe!(self, get_authorization_code on authorization_code, client_id)
            .run(async {
                let Some(named) = NamedCode::new(client_id, code) else { return Ok(None) };
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
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<()> {
        observe!(self, delete_authorization_code on authorization_code, client_id)
            .run(async {
                let Some(named) = NamedCode::new(client_id, code) else { return Ok(()) };
                self.connections.run(DeleteCode(named)).await
            })
            .await
    }
}

struct CreateCode {
    digest: Digest,
    lifetime: i64,
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
    fn into_code(self, digest: Digest) -> Result<AuthorizationCode> {
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
            // The table's constraint holds them together.
            _ => None,
        };
        Ok(AuthorizationCode {
            grant_id: row.grant_id,
            client_id: row.client_id,
            subject: row.subject,
            scope: row.scope.parse().map_err(or_corrupt("scope"))?,
            response_type: row.response_type.parse().map_err(or_corrupt("response_type"))?,
            redirect_uri: row.redirect_uri,
            code_challenge,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            expired: row.expired,
            context: context::from_column(row.context)
                .map_err(|error| corrupt("context", error.to_string()))?,
        })
    }
}

impl Operation for CreateCode {
    /// When it was issued; `None` for a client that is unknown or disabled.
    type Outcome = Option<DateTime<Utc>>;
    const NAME: &'static str = "create_authorization_code";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter().map(|create| &create.code);
        let challenge = || each().map(|c| c.code_challenge.as_ref());
        let digest: Vec<&[u8]> = batch.iter().map(|c| &c.digest.as_bytes()[..]).collect();
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

        // As for tokens: the client's row is locked against its deletion only, and rows are stored
        // in the order of their digests.
        let owners = sqlx::query!(
            r#"
            WITH owner AS MATERIALIZED (
                SELECT client_id
                FROM oauth_storage.client
                WHERE client_id = ANY ($3) AND disabled_at IS NULL
                ORDER BY client_id
                FOR KEY SHARE
            ), stored AS (
                INSERT INTO oauth_storage.authorization_code (
                    issued_at, expires_at, grant_id, digest, client_id, subject, scope,
                    response_type, redirect_uri, code_challenge, code_challenge_method, context
                )
                SELECT
                    statement_timestamp(),
                    statement_timestamp() + lifetime * interval '1 microsecond',
                    grant_id, digest, client_id, subject, scope, response_type, redirect_uri,
                    code_challenge, code_challenge_method, context::jsonb
                FROM UNNEST(
                    $1::bytea[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[]
                ) AS input (
                    digest, grant_id, client_id, subject, scope, response_type, redirect_uri,
                    code_challenge, code_challenge_method, lifetime, context
                )
                JOIN owner USING (client_id)
                ORDER BY digest
            )
            SELECT client_id, statement_timestamp() AS "now!" FROM owner
            "#,
            &digest as _,
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

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        is_duplicate(error, "authorization_code_pkey")
            .then_some(Error::invalid("code", Problem::Duplicate))
    }
}

/// A code as a client names it.
struct NamedCode {
    digest: Digest,
    client_id: String,
}

impl NamedCode {
    /// `None` for what cannot be a code, or a client: there is nothing to look for.
    fn new(client_id: &str, code: &Secret) -> Option<Self> {
        (code.is_well_formed() && check_client_id(client_id).is_ok())
            .then(|| Self { digest: code.digest(), client_id: client_id.to_owned() })
    }

    fn columns(batch: &[impl AsRef<Self>]) -> (Vec<&[u8]>, Vec<&str>) {
        let named = || batch.iter().map(AsRef::as_ref);
        (
            named().map(|n| &n.digest.as_bytes()[..]).collect(),
            named().map(|n| n.client_id.as_str()).collect(),
        )
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

impl Operation for FindCode {
    type Outcome = Option<CodeRow>;
    const NAME: &'static str = "get_authorization_code";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, client_id) = NamedCode::columns(batch);
        let rows = sqlx::query_as!(
            CodeRow,
            r#"
            SELECT
                input.position AS "position!", code.grant_id, code.client_id, code.subject,
                code.scope, code.response_type, code.redirect_uri, code.code_challenge,
                code.code_challenge_method, code.issued_at, code.expires_at,
                code.expires_at <= statement_timestamp() AS "expired!",
                code.context::text AS context
            FROM UNNEST($1::bytea[], $2::text[])
                WITH ORDINALITY AS input (digest, client_id, position)
            JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
                AND code.client_id = input.client_id
                AND code.consumed_at IS NULL
                AND NOT code.revoked
            "#,
            &digest as _,
            &client_id as _,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.authorization_code", self.0.digest.to_string()))
    }
}

struct DeleteCode(NamedCode);

impl Operation for DeleteCode {
    type Outcome = ();
    const NAME: &'static str = "delete_authorization_code";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, client_id) = NamedCode::columns(batch);
        // Why it is `locked` within: DESIGN.md, "Past one machine".
        sqlx::query!(
            r#"
            WITH doomed AS MATERIALIZED (
                SELECT * FROM (
                    SELECT code.digest
                    FROM UNNEST($1::bytea[], $2::text[]) AS input (digest, client_id)
                    JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
                        AND code.client_id = input.client_id
                    WHERE ($3::bytea IS NULL OR code.digest = $3)
                    ORDER BY code.digest
                    FOR UPDATE OF code
                ) AS locked
            )
            DELETE FROM oauth_storage.authorization_code AS code
            USING doomed
            WHERE code.digest = doomed.digest AND ($3::bytea IS NULL OR code.digest = $3)
            "#,
            &digest as _,
            &client_id as _,
            alone(batch, |delete| &delete.0.digest),
        )
        .execute(connection)
        .await?;
        Ok(vec![(); batch.len()])
    }
}
