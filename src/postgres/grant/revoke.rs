//! Revocation that leaves nothing behind.
//!
//! A rotation or a redemption that is in flight can store a successor which the revoking statement
//! does not see. But what it spends, it has locked, and the statement sees that as it was: so it
//! waits, and then knows that the row changed under it, or went. It looks again, with a fresh
//! snapshot, until nothing changed, or nothing was left. What comes later finds its token revoked. If
//! somebody rotates all the time, and faster than it looks, it keeps writers out for its last look.

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::error::Result;
use crate::model::user::check_subject;
use crate::model::{TokenKind, check_client_id};
use crate::postgres::PgStorage;
use crate::postgres::error::{Effect, is_lock_timeout, is_of_many_shards};
use crate::postgres::executor::{Connections, Operation};
use crate::postgres::token::{FindToken, NamedToken};

/// Tokens of one statement when many are revoked, so that no lock is held for long.
const BATCH: i64 = 10_000;

/// How often a revocation looks again beside those who write.
pub(in crate::postgres) const TRIES: u32 = 3;

/// A redemption and a rotation store tokens, so they wait; who reads does not.
const KEEP_WRITERS_OUT: &str = "BEGIN; SET LOCAL lock_timeout = '100ms';
     LOCK TABLE oauth_storage.token IN SHARE ROW EXCLUSIVE MODE";

impl<C: Connections> PgStorage<C> {
    pub(super) async fn revoke_whole_grant(&self, grant_id: Uuid) -> Result<u64> {
        let mut sum = 0;
        for tries in 0..TRIES {
            let looked = match self.connections.run(RevokeGrant(grant_id)).await {
                Err(error) if is_of_many_shards(&error) => break,
                looked => looked.map_err(|error| error.after_commit_if(tries > 0))?,
            };
            sum += looked.revoked;
            if !looked.again {
                return Ok(sum);
            }
        }
        let revoked = self.revoke_all(Owner::Grant { grant_id, pair: None }).await;
        revoked.map(|revoked| sum + revoked).map_err(|error| error.after_commit_if(sum > 0))
    }

    /// The token's grant, or its pair if it is an access token.
    pub(in crate::postgres) async fn revoke_found(&self, named: &NamedToken) -> Result<bool> {
        let row = self.connections.run(FindToken(named.clone())).await?;
        let token = row.map(|row| row.into_token(named)).transpose()?.flatten();
        let Some(token) = token else { return Ok(false) };
        let pair = (token.kind == TokenKind::AccessToken).then_some(token.issued_at);
        self.revoke_all(Owner::Grant { grant_id: token.grant_id, pair }).await?;
        Ok(true)
    }

    pub(super) async fn revoke_all_of_subject(&self, subject: &str) -> Result<u64> {
        if check_subject(subject).is_err() {
            return Ok(0);
        }
        self.revoke_all(Owner::Subject(subject)).await
    }

    pub(super) async fn revoke_all_of_client(&self, client_id: &str) -> Result<u64> {
        if check_client_id(client_id).is_err() {
            return Ok(0);
        }
        self.revoke_all(Owner::Client(client_id)).await
    }

    /// Goes on until a fresh snapshot shows nothing that is not revoked.
    pub(in crate::postgres) async fn revoke_all(&self, owner: Owner<'_>) -> Result<u64> {
        let (mut sum, mut begun) = (0, false);
        loop {
            let seen = self.unrevoked(owner).await;
            let seen = seen.map_err(|error| error.after_commit_if(begun))?;
            if seen.on_shards {
                return self.revoke_all_on_shards(owner, seen).await;
            }
            if seen.is_empty() {
                return Ok(sum);
            }
            let revoked = self.revoke_at_once(owner, &seen.grants).await;
            sum += revoked.map_err(|error| error.after_commit_if(begun))?;
            begun = true;
        }
    }

    /// Codes and tokens that are not revoked, in one look.
    pub(in crate::postgres) async fn unrevoked(&self, owner: Owner<'_>) -> Result<Unrevoked> {
        let mut call = self.connections.begin(Effect::Read).await?;
        match owner {
            Owner::Subject(subject) => {
                call.statement(|connection| {
                    sqlx::query_as!(
                        Unrevoked,
                        r#"
                        WITH code AS MATERIALIZED (
                            SELECT digest, grant_id
                            FROM oauth_storage.authorization_code
                            WHERE hashtext(subject) = hashtext($1) AND subject = $1
                                AND NOT revoked AND consumed_at IS NULL
                            LIMIT $2
                        ), token AS MATERIALIZED (
                            SELECT digest, grant_id
                            FROM oauth_storage.token
                            WHERE hashtext(subject) = hashtext($1) AND subject = $1
                                AND NOT revoked
                            LIMIT $2
                        )
                        SELECT
                            ARRAY (SELECT digest FROM code) AS "codes!",
                            ARRAY (SELECT digest FROM token) AS "tokens!",
                            ARRAY (
                                SELECT grant_id FROM code UNION SELECT grant_id FROM token
                            ) AS "grants!",
                            to_regproc('pg_catalog.run_command_on_all_nodes') IS NOT NULL
                                AS "on_shards!"
                        "#,
                        subject,
                        BATCH,
                    )
                    .fetch_one(connection)
                })
                .await
            }
            Owner::Client(client_id) => {
                call.statement(|connection| {
                    sqlx::query_as!(
                        Unrevoked,
                        r#"
                        WITH code AS MATERIALIZED (
                            SELECT digest, grant_id
                            FROM oauth_storage.authorization_code
                            WHERE client_id = $1 AND NOT revoked AND consumed_at IS NULL
                            LIMIT $2
                        ), token AS MATERIALIZED (
                            SELECT digest, grant_id
                            FROM oauth_storage.token
                            WHERE client_id = $1 AND NOT revoked
                            LIMIT $2
                        )
                        SELECT
                            ARRAY (SELECT digest FROM code) AS "codes!",
                            ARRAY (SELECT digest FROM token) AS "tokens!",
                            ARRAY (
                                SELECT grant_id FROM code UNION SELECT grant_id FROM token
                            ) AS "grants!",
                            to_regproc('pg_catalog.run_command_on_all_nodes') IS NOT NULL
                                AS "on_shards!"
                        "#,
                        client_id,
                        BATCH,
                    )
                    .fetch_one(connection)
                })
                .await
            }
            // A pair has no code.
            Owner::Grant { grant_id, pair } => {
                call.statement(|connection| {
                    sqlx::query_as!(
                        Unrevoked,
                        r#"
                        SELECT
                            ARRAY (
                                SELECT digest
                                FROM oauth_storage.authorization_code
                                WHERE grant_id = $1 AND NOT revoked AND consumed_at IS NULL
                                    AND $2::timestamptz IS NULL
                                LIMIT $3
                            ) AS "codes!",
                            ARRAY (
                                SELECT digest
                                FROM oauth_storage.token
                                WHERE grant_id = $1 AND NOT revoked
                                    AND ($2::timestamptz IS NULL OR issued_at = $2)
                                LIMIT $3
                            ) AS "tokens!",
                            ARRAY [$1] AS "grants!",
                            to_regproc('pg_catalog.run_command_on_all_nodes') IS NOT NULL
                                AS "on_shards!"
                        "#,
                        grant_id,
                        pair,
                        BATCH,
                    )
                    .fetch_one(connection)
                })
                .await
            }
        }
    }

    /// Revokes what these grants have of the owner's, and says how many tokens were not revoked
    /// before.
    async fn revoke_at_once(&self, owner: Owner<'_>, grants: &[Uuid]) -> Result<u64> {
        let mut call = self.connections.begin(Effect::Write).await?;
        let keeps_connection = call.is_held();
        let (mut sum, mut tries) = (0, 0_u32);
        loop {
            // Where the lock cannot be had, writers are let through before the next attempt.
            let looked = if tries % (TRIES + 1) < TRIES || keeps_connection {
                call.statement(|connection| revoke(connection, owner, grants)).await
            } else {
                call.statement(|connection| revoke_undisturbed(connection, owner, grants)).await
            };
            let looked = looked.map_err(|error| error.after_commit_if(tries > 0))?;
            sum += looked.revoked;
            tries += 1;
            if !looked.again {
                return Ok(sum);
            }
        }
    }
}

async fn revoke(
    connection: &mut PgConnection,
    owner: Owner<'_>,
    grants: &[Uuid],
) -> sqlx::Result<Looked> {
    let (subject, client_id, pair) = match owner {
        Owner::Subject(subject) => (Some(subject), None, None),
        Owner::Client(client_id) => (None, Some(client_id), None),
        Owner::Grant { pair, .. } => (None, None, pair),
    };
    // Locks as `revoke_token` does: codes before tokens, each by digest.
    let row = sqlx::query!(
        r#"
        WITH seen_code AS MATERIALIZED (
            SELECT digest, ctid AS version
            FROM oauth_storage.authorization_code
            WHERE grant_id = ANY ($1) AND NOT revoked AND consumed_at IS NULL
                AND ($2::text IS NULL OR subject = $2)
                AND ($3::text IS NULL OR client_id = $3)
                AND $4::timestamptz IS NULL
        ), code AS MATERIALIZED (
            SELECT code.digest, code.ctid <> seen.version AS moved
            FROM seen_code AS seen
            JOIN oauth_storage.authorization_code AS code ON code.digest = seen.digest
            ORDER BY code.digest
            FOR UPDATE OF code
        ), seen_token AS MATERIALIZED (
            SELECT digest, ctid AS version
            FROM oauth_storage.token
            WHERE grant_id = ANY ($1) AND NOT revoked
                AND ($2::text IS NULL OR subject = $2)
                AND ($3::text IS NULL OR client_id = $3)
                AND ($4::timestamptz IS NULL OR issued_at = $4)
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
            WHERE row.digest = token.digest AND NOT row.revoked
            RETURNING 1
        )
        SELECT
            (SELECT count(*) FROM revoked_token) AS "revoked!",
            EXISTS (
                SELECT FROM seen_code LEFT JOIN code USING (digest)
                WHERE code.moved IS NOT FALSE
            ) OR EXISTS (
                SELECT FROM seen_token LEFT JOIN token USING (digest)
                WHERE token.moved IS NOT FALSE
            ) AS "again!"
        "#,
        grants,
        subject,
        client_id,
        pair,
    )
    .fetch_one(connection)
    .await?;
    Ok(Looked { revoked: u64::try_from(row.revoked).unwrap_or_default(), again: row.again })
}

/// The same, while nobody writes to the table. Where the look takes longer than a rotation, for the
/// grant is long, whoever rotates all the time would be ahead of every look.
async fn revoke_undisturbed(
    connection: &mut PgConnection,
    owner: Owner<'_>,
    grants: &[Uuid],
) -> sqlx::Result<Looked> {
    let looked = async {
        let mut transaction = connection.begin_with(KEEP_WRITERS_OUT).await?;
        let looked = revoke(&mut transaction, owner, grants).await?;
        transaction.commit().await?;
        Ok(looked)
    };
    match looked.await {
        // Somebody's transaction is long. Others must not wait behind us for it.
        Err(error) if is_lock_timeout(&error) => Ok(Looked { revoked: 0, again: true }),
        looked => looked,
    }
}

/// What is revoked: all of a subject or of a client, and, on shards, a grant, or what was issued at
/// one moment of it.
#[derive(Clone, Copy)]
pub(in crate::postgres) enum Owner<'a> {
    Subject(&'a str),
    Client(&'a str),
    Grant { grant_id: Uuid, pair: Option<DateTime<Utc>> },
}

/// Digests, at most [`BATCH`] of each.
pub(in crate::postgres) struct Unrevoked {
    pub(in crate::postgres) codes: Vec<Vec<u8>>,
    pub(in crate::postgres) tokens: Vec<Vec<u8>>,
    /// Of which grants they are.
    grants: Vec<Uuid>,
    /// The database has Citus, where one look is not one snapshot.
    on_shards: bool,
}

impl Unrevoked {
    pub(in crate::postgres) fn is_empty(&self) -> bool {
        self.codes.is_empty() && self.tokens.is_empty()
    }

    /// Whether the look was cut off, and saw some only.
    pub(in crate::postgres) fn is_cut(&self) -> bool {
        let most = usize::try_from(BATCH).unwrap_or(usize::MAX);
        self.codes.len() >= most || self.tokens.len() >= most
    }
}

struct RevokeGrant(Uuid);

struct Looked {
    revoked: u64,
    again: bool,
}

impl Operation for RevokeGrant {
    type Outcome = Looked;
    const NAME: &'static str = "revoke_grant";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let grant_id: Vec<Uuid> = batch.iter().map(|revoke| revoke.0).collect();
        // Locks as `revoke_token` does: codes before tokens, each by digest.
        let rows = sqlx::query!(
            r#"
            WITH seen_code AS MATERIALIZED (
                SELECT digest, grant_id, ctid AS version
                FROM oauth_storage.authorization_code
                WHERE grant_id = ANY ($1) AND NOT revoked AND consumed_at IS NULL
            ), code AS MATERIALIZED (
                SELECT code.digest, code.ctid <> seen.version AS moved
                FROM seen_code AS seen
                JOIN oauth_storage.authorization_code AS code ON code.digest = seen.digest
                ORDER BY code.digest
                FOR UPDATE OF code
            ), seen_token AS MATERIALIZED (
                SELECT digest, grant_id, ctid AS version
                FROM oauth_storage.token
                WHERE grant_id = ANY ($1) AND NOT revoked
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
                WHERE row.digest = token.digest AND NOT row.revoked
                RETURNING row.grant_id
            )
            SELECT
                input.position AS "position!",
                (
                    SELECT count(*) FROM revoked_token AS row WHERE row.grant_id = input.grant_id
                ) AS "revoked!",
                EXISTS (
                    SELECT
                    FROM seen_code AS seen
                    LEFT JOIN code USING (digest)
                    WHERE seen.grant_id = input.grant_id AND code.moved IS NOT FALSE
                ) OR EXISTS (
                    SELECT
                    FROM seen_token AS seen
                    LEFT JOIN token USING (digest)
                    WHERE seen.grant_id = input.grant_id AND token.moved IS NOT FALSE
                ) AS "again!"
            FROM UNNEST($1::uuid[]) WITH ORDINALITY AS input (grant_id, position)
            ORDER BY input.position
            "#,
            &grant_id,
        )
        .fetch_all(connection)
        .await?;
        let looked = |revoked| u64::try_from(revoked).unwrap_or_default();
        Ok(rows
            .into_iter()
            .map(|row| Looked { revoked: looked(row.revoked), again: row.again })
            .collect())
    }
}
