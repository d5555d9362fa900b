//! Tokens: how the questions of [`TokenStorage`] are answered.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::{
    GrantContext, NewToken, Scope, Token, TokenKind, TokenRef, TokenState, check_client_id, micros,
};
use crate::postgres::PgStorage;
use crate::postgres::context::{ContextColumns, JsonObject, context};
use crate::postgres::error::Effect;
use crate::postgres::executor::{Connections, Operation};
use crate::request::Request;
use crate::secret::{Digest, Secret};
use crate::storage::TokenStorage;

#[async_trait]
impl<C: Connections> TokenStorage for PgStorage<C> {
    #[tracing::instrument(name = "db.token.create", skip_all, fields(client_id = token.client_id, grant_id = %token.grant_id))]
    async fn create_token(&self, request: &Request, token: NewToken) -> Result<Token> {
        token.check(request)?;
        let context = token.context.or_from(request.user.as_ref());
        let create = CreateToken {
            access_digest: token.access_token.digest(),
            refresh_digest: token.refresh_token.as_ref().map(Secret::digest),
            client_id: token.client_id,
            subject: request.subject().map(str::to_owned),
            scope: token.scope,
            grant_id: token.grant_id,
            pair_id: random_pair_id()?,
            access_lifetime: micros(request.settings.access_token_expires_in),
            refresh_lifetime: micros(request.settings.refresh_token_expires_in),
            context,
        };
        let mut issued = Token {
            kind: TokenKind::AccessToken,
            grant_id: create.grant_id,
            client_id: create.client_id.clone(),
            subject: create.subject.clone(),
            scope: create.scope.clone(),
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
            state: TokenState::Active,
            context: create.context.clone(),
        };
        let stored = self.connections.run(create).await?;
        let stored = stored.ok_or(Error::invalid("client_id", Problem::Unknown))?;
        (issued.issued_at, issued.expires_at) = (stored.issued_at, stored.expires_at);
        Ok(issued)
    }

    #[tracing::instrument(name = "db.token.get", skip_all, fields(client_id = client_id))]
    async fn get_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>> {
        let Some(find) = NamedToken::new(Some(client_id), token) else { return Ok(None) };
        let digest = find.digest;
        match self.connections.run(FindToken(find)).await? {
            Some(row) => row.into_token(digest).map(Some),
            None => Ok(None),
        }
    }

    #[tracing::instrument(name = "db.token.revoke", skip_all, fields(client_id = client_id))]
    async fn revoke_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()> {
        let Some(named) = NamedToken::new(Some(client_id), token) else { return Ok(()) };
        // A rotation or a code exchange that was in flight may have stored a successor that the
        // statement could not see. It then met a row that changed under it, and looks again; a
        // rotation that comes later finds its token revoked, so the last look misses none.
        while self.connections.run(RevokeToken(named.clone())).await? {}
        Ok(())
    }
}

/// Tells the pairs of a grant apart.
pub(super) fn random_pair_id() -> Result<i64> {
    getrandom::u64().map(u64::cast_signed).map_err(|error| Error::Configuration {
        message: "the operating system gave no randomness".into(),
        source: Some(Box::new(error)),
    })
}

/// `"char"` in the column `kind`.
const fn code(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::AccessToken => "a",
        TokenKind::RefreshToken => "r",
    }
}

struct CreateToken {
    access_digest: Digest,
    refresh_digest: Option<Digest>,
    client_id: String,
    subject: Option<String>,
    scope: Scope,
    grant_id: Uuid,
    pair_id: i64,
    access_lifetime: i64,
    refresh_lifetime: i64,
    context: GrantContext,
}

struct Stored {
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Operation for CreateToken {
    /// `None` for a client that is unknown or disabled.
    type Outcome = Option<Stored>;
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let access_digest: Vec<&[u8]> = each().map(|c| &c.access_digest.as_bytes()[..]).collect();
        let refresh_digest: Vec<Option<&[u8]>> = each()
            .map(|c| c.refresh_digest.as_ref().map(|digest| &digest.as_bytes()[..]))
            .collect();
        let client_id: Vec<&str> = each().map(|c| c.client_id.as_str()).collect();
        let subject: Vec<Option<&str>> = each().map(|c| c.subject.as_deref()).collect();
        let scope: Vec<&str> = each().map(|c| c.scope.as_str()).collect();
        let grant_id: Vec<Uuid> = each().map(|c| c.grant_id).collect();
        let pair_id: Vec<i64> = each().map(|c| c.pair_id).collect();
        let access_lifetime: Vec<i64> = each().map(|c| c.access_lifetime).collect();
        let refresh_lifetime: Vec<i64> = each().map(|c| c.refresh_lifetime).collect();
        let context = ContextColumns::of(each().map(|c| &c.context));

        // The client's row is locked against its deletion only, so nothing is issued to a client
        // that is gone. Rows are stored in the order of their digests, as every statement locks.
        let stored = sqlx::query!(
            r#"
            WITH input AS MATERIALIZED (
                SELECT *
                FROM UNNEST(
                    $1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::uuid[],
                    $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::timestamptz[],
                    $12::text[], $13::text[], $14::jsonb[], $15::text[], $16::text[], $17::text[],
                    $18::jsonb[]
                ) WITH ORDINALITY AS input (
                    access_digest, refresh_digest, client_id, subject, scope, grant_id,
                    pair_id, access_lifetime, refresh_lifetime, nonce, auth_time,
                    acr, amr, claims, resource, jkt, x5t_s256,
                    extension, position
                )
            ), owner AS MATERIALIZED (
                SELECT client_id
                FROM oauth_storage.client
                WHERE client_id = ANY ($3) AND disabled_at IS NULL
                ORDER BY client_id
                FOR KEY SHARE
            ), stored AS (
                INSERT INTO oauth_storage.token (
                    granted_at, issued_at, expires_at, auth_time, pair_id, grant_id, kind, digest,
                    client_id, subject, scope, nonce, acr, amr, claims, resource, jkt, x5t_s256,
                    extension
                )
                SELECT
                    statement_timestamp(),
                    statement_timestamp(),
                    statement_timestamp() + credential.lifetime * interval '1 microsecond',
                    auth_time, pair_id, grant_id, credential.kind, credential.digest,
                    client_id, subject, scope, nonce, acr, string_to_array(amr, E'\x1f'), claims,
                    string_to_array(resource, E'\x1f'), jkt, x5t_s256, extension
                FROM input
                JOIN owner USING (client_id)
                CROSS JOIN LATERAL (
                    VALUES
                        ('a'::"char", access_digest, access_lifetime),
                        ('r'::"char", refresh_digest, refresh_lifetime)
                ) AS credential (kind, digest, lifetime)
                WHERE credential.digest IS NOT NULL
                ORDER BY credential.digest
                RETURNING digest, issued_at, expires_at
            )
            SELECT input.position AS "position!", stored.issued_at, stored.expires_at
            FROM input
            JOIN stored ON stored.digest = input.access_digest
            "#,
            &access_digest as _,
            &refresh_digest as _,
            &client_id as _,
            &subject as _,
            &scope as _,
            &grant_id,
            &pair_id,
            &access_lifetime,
            &refresh_lifetime,
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

        let stored = stored.into_iter().map(|row| {
            (row.position, Stored { issued_at: row.issued_at, expires_at: row.expires_at })
        });
        Ok(by_position(batch.len(), stored))
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error, self.refresh_digest)
    }
}

/// Which of the two new tokens exists already, if that is what the error says.
pub(super) fn duplicate_token(
    error: &PgDatabaseError,
    refresh_digest: Option<Digest>,
) -> Option<Error> {
    if error.code() != "23505" || error.constraint() != Some("token_pkey") {
        return None;
    }
    // DETAIL reads `Key (digest)=(\x0123…) already exists.`, in the server's language.
    let is_refresh = refresh_digest.is_some_and(|digest| {
        let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        error.detail().is_some_and(|detail| detail.contains(&hex))
    });
    let field = if is_refresh { "refresh_token" } else { "access_token" };
    Some(Error::invalid(field, Problem::Duplicate))
}

/// Puts each row where its member of the batch stands; positions count from one.
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

/// A token as somebody names it.
#[derive(Clone)]
pub(super) struct NamedToken {
    pub(super) digest: Digest,
    /// The client that it has to be of; none for a resource server, which asks for any.
    client_id: Option<String>,
    kind: Option<&'static str>,
}

impl NamedToken {
    /// `None` for what cannot be a token, or a client: there is nothing to look for.
    pub(super) fn new(client_id: Option<&str>, token: TokenRef<'_>) -> Option<Self> {
        let well_formed = token.secret().is_well_formed()
            && client_id.is_none_or(|client_id| check_client_id(client_id).is_ok());
        well_formed.then(|| Self {
            digest: token.secret().digest(),
            client_id: client_id.map(str::to_owned),
            kind: token.kind().map(code),
        })
    }
}

pub(super) struct FindToken(pub(super) NamedToken);

pub(super) struct TokenRow {
    pub(super) position: i64,
    pub(super) grant_id: Uuid,
    pub(super) kind: String,
    pub(super) client_id: String,
    pub(super) subject: Option<String>,
    pub(super) scope: String,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// What the statement made of it; the words are the statement's own.
    pub(super) state: String,
    pub(super) nonce: Option<String>,
    pub(super) auth_time: Option<DateTime<Utc>>,
    pub(super) acr: Option<String>,
    pub(super) amr: Option<Vec<String>>,
    pub(super) claims: Option<JsonObject>,
    pub(super) resource: Option<Vec<String>>,
    pub(super) jkt: Option<String>,
    pub(super) x5t_s256: Option<String>,
    pub(super) extension: Option<JsonObject>,
}

impl TokenRow {
    pub(super) fn into_token(self, digest: Digest) -> Result<Token> {
        let row = self;
        let corrupt = |column, message: String| Error::Corrupt {
            table: "oauth_storage.token",
            column,
            row: digest.to_string(),
            message,
        };
        Ok(Token {
            kind: match row.kind.as_str() {
                "a" => TokenKind::AccessToken,
                "r" => TokenKind::RefreshToken,
                other => return Err(corrupt("kind", format!("{other:?} is no kind"))),
            },
            grant_id: row.grant_id,
            client_id: row.client_id,
            subject: row.subject,
            scope: row.scope.parse().map_err(|e: Error| corrupt("scope", e.to_string()))?,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            state: match row.state.as_str() {
                "active" => TokenState::Active,
                "rotated" => TokenState::Rotated,
                "expired" => TokenState::Expired,
                "revoked" => TokenState::Revoked,
                other => return Err(corrupt("revoked", format!("{other:?} is no state"))),
            },
            context: context!(row),
        })
    }
}

impl Operation for FindToken {
    type Outcome = Option<TokenRow>;
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let digest: Vec<&[u8]> = batch.iter().map(|f| &f.0.digest.as_bytes()[..]).collect();
        let client_id: Vec<Option<&str>> = batch.iter().map(|f| f.0.client_id.as_deref()).collect();
        let kind: Vec<Option<&str>> = batch.iter().map(|f| f.0.kind).collect();
        let rows = sqlx::query_as!(
            TokenRow,
            r#"
            SELECT
                input.position AS "position!", token.grant_id, token.kind::text AS "kind!",
                token.client_id, token.subject, token.scope, token.issued_at, token.expires_at,
                CASE
                    WHEN token.revoked THEN 'revoked'
                    WHEN token.rotated_at IS NOT NULL THEN 'rotated'
                    WHEN token.expires_at <= statement_timestamp() THEN 'expired'
                    ELSE 'active'
                END AS "state!",
                token.nonce,
                token.auth_time, token.acr, token.amr,
                token.claims AS "claims: JsonObject", token.resource, token.jkt,
                token.x5t_s256, token.extension AS "extension: JsonObject"
            FROM UNNEST($1::bytea[], $2::text[], $3::text[])
                WITH ORDINALITY AS input (digest, client_id, kind, position)
            JOIN oauth_storage.token ON token.digest = input.digest
                AND (input.client_id IS NULL OR token.client_id = input.client_id)
                AND (input.kind IS NULL OR token.kind = input.kind::"char")
            "#,
            &digest as _,
            &client_id as _,
            &kind as _,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }
}

struct RevokeToken(NamedToken);

impl Operation for RevokeToken {
    /// Whether a row changed under the statement, so that it has to look again.
    type Outcome = bool;
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let digest: Vec<&[u8]> = batch.iter().map(|r| &r.0.digest.as_bytes()[..]).collect();
        let client_id: Vec<Option<&str>> = batch.iter().map(|r| r.0.client_id.as_deref()).collect();
        let kind: Vec<Option<&str>> = batch.iter().map(|r| r.0.kind).collect();
        // Rows are locked in one order in every statement, codes before tokens and each by digest,
        // so that no two of them wait for each other. A row that has another `version` when it is
        // locked, or is gone, was changed by another statement after this one took its snapshot.
        let again = sqlx::query_scalar!(
            r#"
            WITH named AS MATERIALIZED (
                SELECT
                    token.grant_id,
                    CASE token.kind WHEN 'a' THEN token.pair_id END AS pair_id
                FROM UNNEST($1::bytea[], $2::text[], $3::text[])
                    AS input (digest, client_id, kind)
                JOIN oauth_storage.token ON token.digest = input.digest
                    AND token.client_id = input.client_id
                    AND (input.kind IS NULL OR token.kind = input.kind::"char")
            ), seen_code AS MATERIALIZED (
                SELECT digest, ctid AS version
                FROM oauth_storage.authorization_code
                WHERE NOT revoked AND consumed_at IS NULL
                    AND grant_id = ANY (ARRAY (SELECT grant_id FROM named WHERE pair_id IS NULL))
            ), code AS MATERIALIZED (
                SELECT code.digest, code.ctid <> seen.version AS moved
                FROM seen_code AS seen
                JOIN oauth_storage.authorization_code AS code ON code.digest = seen.digest
                ORDER BY code.digest
                FOR UPDATE OF code
            ), seen_token AS MATERIALIZED (
                SELECT digest, ctid AS version
                FROM oauth_storage.token AS token
                WHERE NOT revoked
                    AND grant_id = ANY (ARRAY (SELECT grant_id FROM named))
                    AND EXISTS (
                        SELECT FROM named
                        WHERE named.grant_id = token.grant_id
                            AND (named.pair_id IS NULL OR named.pair_id = token.pair_id)
                    )
            ), token AS MATERIALIZED (
                SELECT token.digest, token.ctid <> seen.version AS moved
                FROM seen_token AS seen
                JOIN oauth_storage.token ON token.digest = seen.digest
                WHERE (SELECT count(*) FROM code) >= 0
                ORDER BY token.digest
                FOR UPDATE OF token
            ), revoked_code AS (
                UPDATE oauth_storage.authorization_code AS row
                SET revoked = true
                FROM code
                WHERE row.digest = code.digest AND row.consumed_at IS NULL
            ), revoked_token AS (
                UPDATE oauth_storage.token AS row
                SET revoked = true
                FROM token
                WHERE row.digest = token.digest
            )
            SELECT
                EXISTS (SELECT FROM token WHERE moved)
                OR EXISTS (SELECT FROM code WHERE moved)
                OR (SELECT count(*) FROM token) <> (SELECT count(*) FROM seen_token)
                OR (SELECT count(*) FROM code) <> (SELECT count(*) FROM seen_code) AS "again!"
            "#,
            &digest as _,
            &client_id as _,
            &kind as _,
        )
        .fetch_one(connection)
        .await?;
        Ok(vec![again; batch.len()])
    }
}
