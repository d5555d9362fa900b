//! Authorization codes: how the questions of [`AuthorizationCodeStorage`] are answered.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::{
    AuthorizationCode, CodeChallenge, GrantContext, NewAuthorizationCode, ResponseType, Scope,
    check_client_id, micros,
};
use crate::postgres::PgStorage;
use crate::postgres::context::{ContextColumns, JsonObject, context};
use crate::postgres::error::Effect;
use crate::postgres::executor::{Connections, Operation};
use crate::postgres::token::by_position;
use crate::request::Request;
use crate::secret::{Digest, Secret};
use crate::storage::AuthorizationCodeStorage;

#[async_trait]
impl<C: Connections> AuthorizationCodeStorage for PgStorage<C> {
    #[tracing::instrument(name = "db.authorization_code.create", skip_all, fields(client_id = code.client_id))]
    async fn create_authorization_code(
        &self,
        request: &Request,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode> {
        code.check(request)?;
        let create = CreateCode {
            context: code.full_context(request),
            digest: code.code.digest(),
            grant_id: Uuid::now_v7(),
            client_id: code.client_id,
            subject: request.subject().map(str::to_owned),
            scope: code.scope,
            response_type: code.response_type,
            redirect_uri: code.redirect_uri,
            code_challenge: code.code_challenge,
            lifetime: micros(request.settings.authorization_code_expires_in),
        };
        let digest = create.digest;
        let stored = self.connections.run(create).await?;
        stored.ok_or(Error::invalid("client_id", Problem::Unknown))?.into_code(digest)
    }

    #[tracing::instrument(name = "db.authorization_code.get", skip_all, fields(client_id = client_id))]
    async fn get_authorization_code(
        &self,
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>> {
        let Some(named) = NamedCode::new(client_id, code) else { return Ok(None) };
        let digest = named.digest;
        match self.connections.run(FindCode(named)).await? {
            Some(row) => row.into_code(digest).map(Some),
            None => Ok(None),
        }
    }

    #[tracing::instrument(name = "db.authorization_code.delete", skip_all, fields(client_id = client_id))]
    async fn delete_authorization_code(
        &self,
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<()> {
        let Some(named) = NamedCode::new(client_id, code) else { return Ok(()) };
        self.connections.run(DeleteCode(named)).await
    }
}

struct CreateCode {
    digest: Digest,
    grant_id: Uuid,
    client_id: String,
    subject: Option<String>,
    scope: Scope,
    response_type: ResponseType,
    redirect_uri: String,
    code_challenge: Option<CodeChallenge>,
    lifetime: i64,
    context: GrantContext,
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
    nonce: Option<String>,
    auth_time: Option<DateTime<Utc>>,
    acr: Option<String>,
    amr: Option<Vec<String>>,
    claims: Option<JsonObject>,
    resource: Option<Vec<String>>,
    jkt: Option<String>,
    x5t_s256: Option<String>,
    extension: Option<JsonObject>,
}

impl CodeRow {
    fn into_code(self, digest: Digest) -> Result<AuthorizationCode> {
        let row = self;
        let corrupt = |column| {
            move |error: Error| Error::Corrupt {
                table: "oauth_storage.authorization_code",
                column,
                row: digest.to_string(),
                message: error.to_string(),
            }
        };
        let code_challenge = match (row.code_challenge, row.code_challenge_method) {
            (Some(challenge), Some(method)) => {
                let method = method.parse().map_err(corrupt("code_challenge_method"))?;
                Some(CodeChallenge::from_stored(challenge, method))
            }
            // The table's constraint holds them together.
            _ => None,
        };
        Ok(AuthorizationCode {
            grant_id: row.grant_id,
            client_id: row.client_id,
            subject: row.subject,
            scope: row.scope.parse().map_err(corrupt("scope"))?,
            response_type: row.response_type.parse().map_err(corrupt("response_type"))?,
            redirect_uri: row.redirect_uri,
            code_challenge,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            expired: row.expired,
            context: context!(row),
        })
    }
}

impl Operation for CreateCode {
    /// `None` for a client that is unknown or disabled.
    type Outcome = Option<CodeRow>;
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let challenge = || each().map(|c| c.code_challenge.as_ref());
        let digest: Vec<&[u8]> = each().map(|c| &c.digest.as_bytes()[..]).collect();
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
        let lifetime: Vec<i64> = each().map(|c| c.lifetime).collect();
        let context = ContextColumns::of(each().map(|c| &c.context));

        // As for tokens: the client's row is locked against its deletion only, and rows are stored
        // in the order of their digests.
        let rows = sqlx::query_as!(
            CodeRow,
            r#"
            WITH input AS MATERIALIZED (
                SELECT *
                FROM UNNEST(
                    $1::bytea[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[],
                    $12::timestamptz[], $13::text[], $14::text[], $15::jsonb[], $16::text[],
                    $17::text[], $18::text[], $19::jsonb[]
                ) WITH ORDINALITY AS input (
                    digest, grant_id, client_id, subject, scope, response_type, redirect_uri,
                    code_challenge, code_challenge_method, lifetime, nonce, auth_time,
                    acr, amr, claims, resource, jkt, x5t_s256, extension, position
                )
            ), owner AS MATERIALIZED (
                SELECT client_id
                FROM oauth_storage.client
                WHERE client_id = ANY ($3) AND disabled_at IS NULL
                ORDER BY client_id
                FOR KEY SHARE
            ), stored AS (
                INSERT INTO oauth_storage.authorization_code (
                    issued_at, expires_at, auth_time, grant_id, digest, client_id, subject, scope,
                    response_type, redirect_uri, code_challenge, code_challenge_method, nonce, acr,
                    amr, claims, resource, jkt, x5t_s256, extension
                )
                SELECT
                    statement_timestamp(),
                    statement_timestamp() + lifetime * interval '1 microsecond',
                    auth_time, grant_id, digest, client_id, subject, scope, response_type,
                    redirect_uri, code_challenge, code_challenge_method, nonce, acr,
                    string_to_array(amr, E'\x1f'), claims, string_to_array(resource, E'\x1f'),
                    jkt, x5t_s256, extension
                FROM input
                JOIN owner USING (client_id)
                ORDER BY digest
                RETURNING
                    digest, grant_id, client_id, subject, scope, response_type, redirect_uri,
                    code_challenge, code_challenge_method, issued_at, expires_at, nonce, auth_time,
                    acr, amr, claims, resource, jkt, x5t_s256, extension
            )
            SELECT
                input.position AS "position!", stored.grant_id, stored.client_id, stored.subject,
                stored.scope, stored.response_type, stored.redirect_uri, stored.code_challenge,
                stored.code_challenge_method, stored.issued_at, stored.expires_at,
                false AS "expired!", stored.nonce, stored.auth_time, stored.acr, stored.amr,
                stored.claims AS "claims: JsonObject", stored.resource, stored.jkt,
                stored.x5t_s256, stored.extension AS "extension: JsonObject"
            FROM input
            JOIN stored USING (digest)
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
            &context.nonce as _,
            &context.auth_time as _,
            &context.acr as _,
            &context.amr as _,
            &context.claims as _,
            &context.resource as _,
            &context.jkt as _,
            &context.x5t_s256 as _,
            &context.extension as _,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        (error.code() == "23505" && error.constraint() == Some("authorization_code_pkey"))
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
                code.expires_at <= statement_timestamp() AS "expired!", code.nonce, code.auth_time,
                code.acr, code.amr, code.claims AS "claims: JsonObject",
                code.resource, code.jkt, code.x5t_s256,
                code.extension AS "extension: JsonObject"
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
}

struct DeleteCode(NamedCode);

impl Operation for DeleteCode {
    type Outcome = ();
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, client_id) = NamedCode::columns(batch);
        sqlx::query!(
            r#"
            WITH doomed AS MATERIALIZED (
                SELECT code.digest
                FROM UNNEST($1::bytea[], $2::text[]) AS input (digest, client_id)
                JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
                    AND code.client_id = input.client_id
                ORDER BY code.digest
                FOR UPDATE OF code
            )
            DELETE FROM oauth_storage.authorization_code AS code
            USING doomed
            WHERE code.digest = doomed.digest
            "#,
            &digest as _,
            &client_id as _,
        )
        .execute(connection)
        .await?;
        Ok(vec![(); batch.len()])
    }
}
