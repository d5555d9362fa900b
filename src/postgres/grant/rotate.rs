use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use crate::error::Error;
use crate::model::{Rotate, Scope, check_client_id, micros};
use crate::postgres::error::Effect;
use crate::postgres::executor::Operation;
use crate::postgres::grant::SpentRow;
use crate::postgres::token::{alone, by_position, duplicate_token};
use crate::request::Request;
use crate::secret::Digest;

/// Spends a refresh token and stores its successors.
pub(super) struct RotateToken {
    digest: Digest,
    client_id: String,
    scope: Option<Scope>,
    access_digest: Digest,
    refresh_digest: Digest,
    access_lifetime: i64,
    grace: i64,
}

impl RotateToken {
    /// `None` for what cannot be valid.
    pub(super) fn new(request: &Request, rotate: &Rotate) -> Option<Self> {
        let well_formed =
            rotate.refresh_token.is_well_formed() && check_client_id(&rotate.client_id).is_ok();
        well_formed.then(|| Self {
            digest: rotate.refresh_token.digest(),
            client_id: rotate.client_id.clone(),
            scope: rotate.scope.clone(),
            access_digest: rotate.new_access_token.digest(),
            refresh_digest: rotate.new_refresh_token.digest(),
            access_lifetime: micros(request.settings.access_token_expires_in),
            grace: micros(request.settings.refresh_token_grace),
        })
    }
}

impl Operation for RotateToken {
    /// `None` for an invalid token.
    type Outcome = Option<SpentRow>;
    const NAME: &'static str = "rotate_refresh_token";
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
        let access_lifetime: Vec<i64> = each().map(|r| r.access_lifetime).collect();
        let grace: Vec<i64> = each().map(|r| r.grace).collect();

        // Whoever waits for the lock on a token sees it as the one before left it: `reused` is
        // evaluated again on the row as it then is. A grace of zero is asked for by itself, for a
        // request that waited began before the rotation that it lost to. The old row is written in
        // any case, a second time within the grace period, too: a revocation that runs at the same
        // time has to notice. (`locked`, and its digest once more: DESIGN.md, "Past one machine".)
        let rows = sqlx::query_as!(
            SpentRow,
            r#"
            WITH locked AS MATERIALIZED (
                SELECT * FROM (
                    SELECT
                        input.position, input.access_digest, input.refresh_digest,
                        statement_timestamp() + input.position * interval '1 microsecond'
                            AS issued_at,
                        least(
                            statement_timestamp()
                                + (input.position + input.access_lifetime)
                                    * interval '1 microsecond',
                            old.expires_at
                        ) AS access_expires_at,
                        coalesce(input.scope, old.scope) AS access_scope,
                        old.rotated_at IS NOT NULL AND (
                            input.grace = 0
                            OR old.rotated_at + input.grace * interval '1 microsecond'
                                <= statement_timestamp()
                        ) AS reused,
                        input.scope IS NOT NULL AND NOT string_to_array(input.scope, ' ')
                            <@ string_to_array(old.scope, ' ') AS wider,
                        coalesce(old.rotated_at, statement_timestamp()) AS rotated_at,
                        old.digest, old.expires_at, old.grant_id, old.client_id, old.subject,
                        old.scope, old.context
                    FROM UNNEST(
                        $1::bytea[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[],
                        $7::bigint[]
                    ) WITH ORDINALITY AS input (
                        digest, client_id, scope, access_digest, refresh_digest, access_lifetime,
                        grace, position
                    )
                    JOIN oauth_storage.token AS old ON old.digest = input.digest
                        AND old.client_id = input.client_id
                        AND old.kind = 'r'
                        AND NOT old.revoked
                        AND old.expires_at > statement_timestamp()
                    WHERE ($8::bytea IS NULL OR old.digest = $8)
                    ORDER BY old.digest
                    FOR UPDATE OF old
                ) AS locked
            ), old AS MATERIALIZED (
                SELECT locked.*
                FROM locked
                JOIN oauth_storage.client ON client.client_id = locked.client_id
                    AND client.disabled_at IS NULL
            ), rotated AS (
                UPDATE oauth_storage.token AS row
                SET rotated_at = old.rotated_at
                FROM old
                WHERE row.digest = old.digest AND ($8::bytea IS NULL OR row.digest = $8)
                    AND NOT old.reused AND NOT old.wider
            ), stored AS (
                INSERT INTO oauth_storage.token (
                    issued_at, expires_at, grant_id, kind, digest, client_id, subject, scope,
                    context
                )
                SELECT
                    issued_at, credential.expires_at, grant_id, credential.kind,
                    credential.digest, client_id, subject, credential.scope, context
                FROM old
                CROSS JOIN LATERAL (
                    VALUES
                        ('a'::"char", access_digest, access_scope, access_expires_at),
                        ('r'::"char", refresh_digest, old.scope, old.expires_at)
                ) AS credential (kind, digest, scope, expires_at)
                WHERE NOT reused AND NOT wider
                ORDER BY credential.digest
            )
            SELECT
                position AS "position!", reused AS "reused!", wider AS "wider!", grant_id, subject,
                access_scope AS "scope!", issued_at AS "issued_at!",
                access_expires_at AS "expires_at!", context::text AS context
            FROM old
            "#,
            &digest as _,
            &client_id as _,
            &scope as _,
            &access_digest as _,
            &refresh_digest as _,
            &access_lifetime,
            &grace,
            alone(batch, |rotate| &rotate.digest),
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn key(&self) -> Option<u128> {
        self.digest.as_bytes().first_chunk().map(|half| u128::from_be_bytes(*half))
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error, Some(self.refresh_digest))
    }
}
