//! Tokens: how the questions of [`TokenStorage`] are answered.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::{
    GrantContext, NewToken, Scope, Token, TokenKind, TokenRef, TokenState, check_client_id, micros,
};
use crate::postgres::PgStorage;
use crate::postgres::context;
use crate::postgres::error::{Effect, is_duplicate, is_of_many_shards};
use crate::postgres::executor::{Connections, Operation};
use crate::postgres::grant::TRIES;
use crate::postgres::observe::observe;
use crate::request::Request;
use crate::secret::{Digest, Secret};
use crate::storage::TokenStorage;

#[async_trait]
impl<C: Connections> TokenStorage for PgStorage<C> {
    async fn create_token(&self, request: &Request, token: NewToken) -> Result<Token> {
        self.create(request, token).await
    }

    async fn get_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>> {
        observe!(self, get_token on token, client_id)
            .run(async {
                let Some(named) = NamedToken::new(Some(client_id), token) else { return Ok(None) };
                match self.connections.run(FindToken(named.clone())).await? {
                    Some(row) => row.into_token(&named),
                    None => Ok(None),
                }
            })
            .await
    }

    async fn revoke_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()> {
        observe!(self, revoke_token on token, client_id)
            .run(async {
                let Some(named) = NamedToken::new(Some(client_id), token) else { return Ok(()) };
                // A rotation or a code exchange that was in flight may have stored a successor that
                // the statement could not see. It then met a row that changed under it, and looks
                // again; a rotation that comes later finds its token revoked, so the last look
                // misses none.
                for tries in 0..TRIES {
                    let again = self.connections.run(RevokeToken(named.clone())).await;
                    if again.as_ref().is_err_and(is_of_many_shards) {
                        // In a box, for it would make every call's future larger.
                        let revoked = Box::pin(self.revoke_token_on_shards(&named)).await;
                        return revoked.map_err(|error| error.after_commit_if(tries > 0));
                    }
                    if !again.map_err(|error| error.after_commit_if(tries > 0))? {
                        return Ok(());
                    }
                }
                let revoked = Box::pin(self.revoke_found(&named)).await;
                revoked.map(drop).map_err(Error::after_commit)
            })
            .await
    }
}

impl<C: Connections> PgStorage<C> {
    /// No `async fn`, for its future would keep the new token, and be too large (see the test in
    /// `postgres.rs`).
    fn create(
        &self,
        request: &Request,
        token: NewToken,
    ) -> impl Future<Output = Result<Token>> + Send {
        let (client, grant) = (&token.client_id, token.grant_id);
        let call = observe!(self, create_token on token, client_id = client, grant_id = grant);
        let new = CreateToken::new(request, token)
            .map(|(create, token)| (Box::pin(self.connections.run(create)), token));
        call.run(async {
            let (create, token) = new?;
            let issued_at = create.await?;
            let token = issued_at.map(|at| token.issued(at));
            token.ok_or(Error::invalid("client_id", Problem::Unknown))
        })
    }
}

struct CreateToken {
    access_digest: Digest,
    refresh_digest: Option<Digest>,
    client_id: String,
    subject: Option<String>,
    scope: Scope,
    grant_id: Uuid,
    access_lifetime: i64,
    refresh_lifetime: i64,
    context: GrantContext,
}

/// The access token to give back, but for its times.
struct Unissued(Box<Token>, TimeDelta);

impl Unissued {
    fn issued(self, at: DateTime<Utc>) -> Token {
        Token { issued_at: at, expires_at: at + self.1, ..*self.0 }
    }
}

impl CreateToken {
    fn new(request: &Request, new: NewToken) -> Result<(Self, Unissued)> {
        new.check(request)?;
        let context = new.full_context(request);
        let subject = new.full_subject(request).map(str::to_owned);
        let create = Self {
            access_digest: new.access_token.digest(),
            refresh_digest: new.refresh_token.as_ref().map(Secret::digest),
            client_id: new.client_id,
            subject,
            scope: new.scope,
            grant_id: new.grant_id,
            access_lifetime: micros(request.settings.access_token_expires_in),
            refresh_lifetime: micros(request.settings.refresh_token_expires_in),
            context,
        };
        let token = Token {
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
        let lifetime = TimeDelta::microseconds(create.access_lifetime);
        Ok((create, Unissued(Box::new(token), lifetime)))
    }
}

impl Operation for CreateToken {
    /// When it was issued; `None` for a client that is unknown or disabled.
    type Outcome = Option<DateTime<Utc>>;
    const NAME: &'static str = "create_token";
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
        let access_lifetime: Vec<i64> = each().map(|c| c.access_lifetime).collect();
        let refresh_lifetime: Vec<i64> = each().map(|c| c.refresh_lifetime).collect();
        let context: Vec<Option<String>> =
            each().map(|c| context::to_column(&c.context)).collect::<sqlx::Result<_>>()?;

        // The client's row is locked against its deletion only, so nothing is issued to a client
        // that is gone. Rows are stored in the order of their digests, as every statement locks.
        // Members of a batch are a microsecond apart: issued_at tells the pairs of a grant apart.
        let owners = sqlx::query!(
            r#"
            WITH owner AS MATERIALIZED (
                SELECT client_id
                FROM oauth_storage.client
                WHERE client_id = ANY ($3) AND disabled_at IS NULL
                ORDER BY client_id
                FOR KEY SHARE
            ), stored AS (
                INSERT INTO oauth_storage.token (
                    issued_at, expires_at, grant_id, kind, digest, client_id, subject, scope,
                    context
                )
                SELECT
                    statement_timestamp() + input.position * interval '1 microsecond',
                    statement_timestamp()
                        + (input.position + credential.lifetime) * interval '1 microsecond',
                    grant_id, credential.kind, credential.digest, client_id, subject, scope,
                    context::jsonb
                FROM UNNEST(
                    $1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::uuid[],
                    $7::bigint[], $8::bigint[], $9::text[]
                ) WITH ORDINALITY AS input (
                    access_digest, refresh_digest, client_id, subject, scope, grant_id,
                    access_lifetime, refresh_lifetime, context, position
                )
                JOIN owner USING (client_id)
                CROSS JOIN LATERAL (
                    VALUES
                        ('a'::"char", access_digest, access_lifetime),
                        ('r'::"char", refresh_digest, refresh_lifetime)
                ) AS credential (kind, digest, lifetime)
                WHERE credential.digest IS NOT NULL
                ORDER BY credential.digest
            )
            SELECT client_id, statement_timestamp() AS "now!" FROM owner
            "#,
            &access_digest as _,
            &refresh_digest as _,
            &client_id as _,
            &subject as _,
            &scope as _,
            &grant_id,
            &access_lifetime,
            &refresh_lifetime,
            &context as _,
        )
        .fetch_all(connection)
        .await?;

        let owners: HashMap<&str, DateTime<Utc>> =
            owners.iter().map(|owner| (owner.client_id.as_str(), owner.now)).collect();
        let issued_at = |(position, create): (i64, &Self)| {
            let now = owners.get(create.client_id.as_str())?;
            Some(*now + TimeDelta::microseconds(position))
        };
        Ok((1..).zip(batch).map(issued_at).collect())
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
    if !is_duplicate(error, "token_pkey") {
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

/// The digest of a call that is alone in its statement: where rows are on shards, it names theirs.
/// (`digest = ANY (…)` would, too, but on one machine it changes the plan.)
pub(super) fn alone<'a, T>(
    batch: &'a [T],
    digest: impl Fn(&'a T) -> &'a Digest,
) -> Option<&'a [u8]> {
    match batch {
        [one] => Some(&digest(one).as_bytes()[..]),
        _ => None,
    }
}

/// A token as somebody names it.
#[derive(Clone)]
pub(super) struct NamedToken {
    pub(super) digest: Digest,
    /// The client that it has to be of; none for a resource server, which asks for any.
    client_id: Option<String>,
    kind: Option<TokenKind>,
}

impl NamedToken {
    /// `None` for what cannot be a token, or a client: there is nothing to look for.
    pub(super) fn new(client_id: Option<&str>, token: TokenRef<'_>) -> Option<Self> {
        let well_formed = token.secret().is_well_formed()
            && client_id.is_none_or(|client_id| check_client_id(client_id).is_ok());
        well_formed.then(|| Self {
            digest: token.secret().digest(),
            client_id: client_id.map(str::to_owned),
            kind: token.kind(),
        })
    }
}

pub(super) struct FindToken(pub(super) NamedToken);

#[derive(Clone)]
pub(super) struct TokenRow {
    digest: [u8; 32],
    grant_id: Uuid,
    /// The byte of a `"char"`.
    kind: i8,
    client_id: String,
    subject: Option<String>,
    scope: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked: bool,
    rotated: bool,
    expired: bool,
    context: Option<String>,
}

impl TokenRow {
    pub(super) fn is_active(&self) -> bool {
        self.state() == TokenState::Active
    }

    fn state(&self) -> TokenState {
        match self {
            Self { revoked: true, .. } => TokenState::Revoked,
            Self { rotated: true, .. } => TokenState::Rotated,
            Self { expired: true, .. } => TokenState::Expired,
            _ => TokenState::Active,
        }
    }

    /// A row of `digest`; none where it is not the token that was named.
    pub(super) fn into_token(self: Arc<Self>, named: &NamedToken) -> Result<Option<Token>> {
        let row = Arc::unwrap_or_clone(self);
        let corrupt = |column, message| corrupt(column, &named.digest, message);
        let kind = match u8::try_from(row.kind) {
            Ok(b'a') => TokenKind::AccessToken,
            Ok(b'r') => TokenKind::RefreshToken,
            _ => return Err(corrupt("kind", format!("{} is no kind", row.kind))),
        };
        if named.client_id.as_ref().is_some_and(|client_id| *client_id != row.client_id)
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
                .map_err(|e| corrupt("context", e.to_string()))?,
        }))
    }
}

/// A value in a row of the table that was not stored here.
pub(super) fn corrupt(column: &'static str, digest: &Digest, message: String) -> Error {
    Error::Corrupt { table: "oauth_storage.token", column, row: digest.to_string(), message }
}

impl Operation for FindToken {
    /// Members of a batch that ask for the same token share its row.
    type Outcome = Option<Arc<TokenRow>>;
    const NAME: &'static str = "find_token";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let digest: Vec<&[u8]> = batch.iter().map(|f| &f.0.digest.as_bytes()[..]).collect();
        let rows = sqlx::query_as!(
            TokenRow,
            r#"
            SELECT
                digest AS "digest: _", grant_id, kind AS "kind: _", client_id, subject, scope,
                issued_at, expires_at, revoked, rotated_at IS NOT NULL AS "rotated!",
                expires_at <= statement_timestamp() AS "expired!", context::text AS context
            FROM oauth_storage.token
            WHERE digest = ANY ($1::bytea[])
            "#,
            &digest as _,
        )
        .fetch_all(connection)
        .await?;
        let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.digest, Arc::new(row))).collect();
        Ok(batch.iter().map(|find| rows.get(find.0.digest.as_bytes()).cloned()).collect())
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.token", self.0.digest.to_string()))
    }
}

/// `"char"` in the column `kind`.
const fn code(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::AccessToken => "a",
        TokenKind::RefreshToken => "r",
    }
}

struct RevokeToken(NamedToken);

impl Operation for RevokeToken {
    /// Whether a row changed under the statement, so that it has to look again.
    type Outcome = bool;
    const NAME: &'static str = "revoke_token";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let digest: Vec<&[u8]> = batch.iter().map(|r| &r.0.digest.as_bytes()[..]).collect();
        let client_id: Vec<Option<&str>> = batch.iter().map(|r| r.0.client_id.as_deref()).collect();
        let kind: Vec<Option<&str>> = batch.iter().map(|r| r.0.kind.map(code)).collect();
        // Rows are locked in one order in every statement, codes before tokens and each by digest,
        // so that no two of them wait for each other. A row that has another `version` when it is
        // locked, or is gone, was changed by another statement after this one took its snapshot.
        let again = sqlx::query_scalar!(
            r#"
            WITH named AS MATERIALIZED (
                SELECT
                    token.grant_id,
                    CASE token.kind WHEN 'a' THEN token.issued_at END AS pair
                FROM UNNEST($1::bytea[], $2::text[], $3::text[])
                    AS input (digest, client_id, kind)
                JOIN oauth_storage.token ON token.digest = input.digest
                    AND token.client_id = input.client_id
                    AND (input.kind IS NULL OR token.kind = input.kind::"char")
            ), seen_code AS MATERIALIZED (
                SELECT digest, ctid AS version
                FROM oauth_storage.authorization_code
                WHERE NOT revoked AND consumed_at IS NULL
                    AND grant_id = ANY (ARRAY (SELECT grant_id FROM named WHERE pair IS NULL))
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
                            AND (named.pair IS NULL OR named.pair = token.issued_at)
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
