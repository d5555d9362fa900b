//! Revocation that leaves nothing behind.
//!
//! A rotation or a redemption that is in flight can store a successor which the revoking statement
//! does not see. But what it spends, it has locked, and the statement sees that as it was: so it
//! waits, and then knows that the row changed under it, or went. It looks again, with a fresh
//! snapshot, until nothing changed, or nothing was left. What comes later finds its token revoked.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::model::check_client_id;
use crate::model::user::check_subject;
use crate::postgres::PgStorage;
use crate::postgres::error::Effect;
use crate::postgres::executor::{Connections, Operation};

/// Tokens of one statement when many are revoked, so that no lock is held for long.
const BATCH: i64 = 10_000;

impl<C: Connections> PgStorage<C> {
    pub(super) async fn revoke_whole_grant(&self, grant_id: Uuid) -> Result<u64> {
        let (mut sum, mut begun) = (0, false);
        loop {
            let looked = self.connections.run(RevokeGrant(grant_id)).await;
            let looked = looked.map_err(|error| error.after_commit_if(begun))?;
            sum += looked.revoked;
            if !looked.again {
                return Ok(sum);
            }
            begun = true;
        }
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
    async fn revoke_all(&self, owner: Owner<'_>) -> Result<u64> {
        let (mut sum, mut begun) = (0, false);
        loop {
            let revoked = self.revoke_some(owner).await;
            match revoked.map_err(|error| error.after_commit_if(begun))? {
                Some(revoked) => sum += revoked,
                None => return Ok(sum),
            }
            begun = true;
        }
    }

    /// One batch, and how many of it were not revoked before; none if nothing was left.
    async fn revoke_some(&self, owner: Owner<'_>) -> Result<Option<u64>> {
        let codes = self.unrevoked_codes(owner).await?;
        let tokens = self.unrevoked_tokens(owner).await?;
        if codes.is_empty() && tokens.is_empty() {
            return Ok(None);
        }
        self.revoke_digests(&codes, &tokens).await.map(Some)
    }

    async fn unrevoked_codes(&self, owner: Owner<'_>) -> Result<Vec<Vec<u8>>> {
        let mut call = self.connections.begin(Effect::Read).await?;
        match owner {
            Owner::Subject(subject) => {
                call.statement(|connection| {
                    sqlx::query_scalar!(
                        r#"
                        SELECT digest
                        FROM oauth_storage.authorization_code
                        WHERE hashtext(subject) = hashtext($1)
                            AND subject = $1 AND NOT revoked AND consumed_at IS NULL
                        LIMIT $2
                        "#,
                        subject,
                        BATCH,
                    )
                    .fetch_all(connection)
                })
                .await
            }
            Owner::Client(client_id) => {
                call.statement(|connection| {
                    sqlx::query_scalar!(
                        r#"
                        SELECT digest
                        FROM oauth_storage.authorization_code
                        WHERE client_id = $1 AND NOT revoked AND consumed_at IS NULL
                        LIMIT $2
                        "#,
                        client_id,
                        BATCH,
                    )
                    .fetch_all(connection)
                })
                .await
            }
        }
    }

    async fn unrevoked_tokens(&self, owner: Owner<'_>) -> Result<Vec<Vec<u8>>> {
        let mut call = self.connections.begin(Effect::Read).await?;
        match owner {
            Owner::Subject(subject) => {
                call.statement(|connection| {
                    sqlx::query_scalar!(
                        r#"
                        SELECT digest
                        FROM oauth_storage.token
                        WHERE hashtext(subject) = hashtext($1)
                            AND subject = $1 AND NOT revoked
                        LIMIT $2
                        "#,
                        subject,
                        BATCH,
                    )
                    .fetch_all(connection)
                })
                .await
            }
            Owner::Client(client_id) => {
                call.statement(|connection| {
                    sqlx::query_scalar!(
                        r#"
                        SELECT digest
                        FROM oauth_storage.token
                        WHERE client_id = $1 AND NOT revoked
                        LIMIT $2
                        "#,
                        client_id,
                        BATCH,
                    )
                    .fetch_all(connection)
                })
                .await
            }
        }
    }

    /// Revokes these, and says how many tokens were not revoked before.
    async fn revoke_digests(&self, codes: &[Vec<u8>], tokens: &[Vec<u8>]) -> Result<u64> {
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement(|connection| {
            sqlx::query_scalar!(
                r#"
                WITH code AS MATERIALIZED (
                    SELECT digest
                    FROM oauth_storage.authorization_code
                    WHERE digest = ANY ($1)
                    ORDER BY digest
                    FOR UPDATE
                ), token AS MATERIALIZED (
                    SELECT digest
                    FROM oauth_storage.token
                    WHERE digest = ANY ($2) AND (SELECT count(*) FROM code) >= 0
                    ORDER BY digest
                    FOR UPDATE
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
                SELECT count(*) AS "count!" FROM revoked_token
                "#,
                codes,
                tokens,
            )
            .fetch_one(connection)
        })
        .await
        .map(|count| u64::try_from(count).unwrap_or_default())
    }
}

/// Whose grants are revoked.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Subject(&'a str),
    Client(&'a str),
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
