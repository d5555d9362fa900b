use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use crate::error::{Error, Result};
use crate::model::{Rotate, Scope, check_client_id, micros};
use crate::postgres::context::JsonObject;
use crate::postgres::error::Effect;
use crate::postgres::executor::Operation;
use crate::postgres::token::{TokenRow, by_position, duplicate_token, random_pair_id};
use crate::request::Request;
use crate::secret::Digest;

/// Spends a refresh token and stores its successors.
pub(super) struct RotateToken {
    digest: Digest,
    client_id: String,
    scope: Option<Scope>,
    access_digest: Digest,
    refresh_digest: Digest,
    pair_id: i64,
    access_lifetime: i64,
    grace: i64,
}

impl RotateToken {
    /// `None` for what cannot be valid.
    pub(super) fn new(request: &Request, rotate: &Rotate) -> Result<Option<Self>> {
        let well_formed =
            rotate.refresh_token.is_well_formed() && check_client_id(&rotate.client_id).is_ok();
        if !well_formed {
            return Ok(None);
        }
        Ok(Some(Self {
            digest: rotate.refresh_token.digest(),
            client_id: rotate.client_id.clone(),
            scope: rotate.scope.clone(),
            access_digest: rotate.new_access_token.digest(),
            refresh_digest: rotate.new_refresh_token.digest(),
            pair_id: random_pair_id()?,
            access_lifetime: micros(request.settings.access_token_expires_in),
            grace: micros(request.settings.refresh_token_grace),
        }))
    }
}

impl Operation for RotateToken {
    /// `None` for an invalid token; otherwise the new access token's row, whose `state` is
    /// `active`, or `reused` or `wider` if nothing was stored.
    type Outcome = Option<TokenRow>;
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let digest: Vec<&[u8]> = each().map(|r| &r.digest.as_bytes()[..]).collect();
        let client_id: Vec<&str> = each().map(|r| r.client_id.as_str()).collect();
        let scope: Vec<Option<&str>> =
            each().map(|r| r.scope.as_ref().map(Scope::as_str)).collect();
        let access_digest: Vec<&[u8]> = each().map(|r| &r.access_digest.as_bytes()[..]).collect();
        let refresh_digest: Vec<&[u8]> = each().map(|r| &r.refresh_digest.as_bytes()[..]).collect();
        let pair_id: Vec<i64> = each().map(|r| r.pair_id).collect();
        let access_lifetime: Vec<i64> = each().map(|r| r.access_lifetime).collect();
        let grace: Vec<i64> = each().map(|r| r.grace).collect();

        // Whoever waits for the lock on a token sees it as the one before left it: `state` is
        // evaluated again on the row as it then is. A grace of zero is asked for by itself, for a
        // request that waited began before the rotation that it lost to. The old row is written in
        // any case, a second time within the grace period, too: a revocation that runs at the same
        // time has to notice.
        let rows = sqlx::query_as!(
            TokenRow,
            r#"
            WITH old AS MATERIALIZED (
                SELECT
                    input.position, input.access_digest, input.refresh_digest, input.pair_id,
                    input.access_lifetime, coalesce(input.scope, old.scope) AS access_scope,
                    CASE
                        WHEN old.rotated_at IS NOT NULL AND (
                            input.grace = 0
                            OR old.rotated_at + input.grace * interval '1 microsecond'
                                <= statement_timestamp()
                        ) THEN 'reused'
                        WHEN NOT string_to_array(coalesce(input.scope, old.scope), ' ')
                            <@ string_to_array(old.scope, ' ') THEN 'wider'
                        ELSE 'active'
                    END AS state,
                    old.digest, old.granted_at, old.expires_at, old.grant_id, old.client_id,
                    old.subject, old.scope, old.nonce, old.auth_time, old.acr, old.amr, old.claims,
                    old.resource, old.jkt, old.x5t_s256, old.extension
                FROM UNNEST(
                    $1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[],
                    $7::bigint[], $8::bigint[]
                ) WITH ORDINALITY AS input (
                    digest, client_id, scope, access_digest, refresh_digest, pair_id,
                    access_lifetime, grace, position
                )
                JOIN oauth_storage.token AS old ON old.digest = input.digest
                    AND old.client_id = input.client_id
                    AND old.kind = 'r'
                    AND NOT old.revoked
                    AND old.expires_at > statement_timestamp()
                JOIN oauth_storage.client ON client.client_id = old.client_id
                    AND client.disabled_at IS NULL
                ORDER BY old.digest
                FOR UPDATE OF old
            ), rotated AS (
                UPDATE oauth_storage.token AS row
                SET rotated_at = coalesce(row.rotated_at, statement_timestamp())
                FROM old
                WHERE row.digest = old.digest AND old.state = 'active'
            ), stored AS (
                INSERT INTO oauth_storage.token (
                    granted_at, issued_at, expires_at, auth_time, pair_id, grant_id, kind, digest,
                    client_id, subject, scope, nonce, acr, amr, claims, resource, jkt, x5t_s256,
                    extension
                )
                SELECT
                    granted_at, statement_timestamp(), credential.expires_at, auth_time, pair_id,
                    grant_id, credential.kind, credential.digest, client_id, subject,
                    credential.scope, nonce, acr, amr, claims, resource, jkt, x5t_s256, extension
                FROM old
                CROSS JOIN LATERAL (
                    VALUES
                        (
                            'a'::"char", access_digest, access_scope, least(
                                statement_timestamp()
                                    + access_lifetime * interval '1 microsecond',
                                old.expires_at
                            )
                        ),
                        ('r'::"char", refresh_digest, old.scope, old.expires_at)
                ) AS credential (kind, digest, scope, expires_at)
                WHERE state = 'active'
                ORDER BY credential.digest
                RETURNING digest, issued_at, expires_at
            )
            SELECT
                old.position AS "position!", old.state AS "state!", 'a' AS "kind!", old.grant_id,
                old.client_id, old.subject, old.access_scope AS "scope!",
                coalesce(stored.issued_at, statement_timestamp()) AS "issued_at!",
                coalesce(stored.expires_at, statement_timestamp()) AS "expires_at!",
                old.nonce, old.auth_time, old.acr, old.amr, old.claims AS "claims: JsonObject",
                old.resource, old.jkt, old.x5t_s256, old.extension AS "extension: JsonObject"
            FROM old
            LEFT JOIN stored ON stored.digest = old.access_digest
            "#,
            &digest as _,
            &client_id as _,
            &scope as _,
            &access_digest as _,
            &refresh_digest as _,
            &pair_id,
            &access_lifetime,
            &grace,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn key(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error, Some(self.refresh_digest))
    }
}
