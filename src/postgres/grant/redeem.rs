use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use crate::error::{Error, Result};
use crate::model::{CodeChallenge, Redeem, micros};
use crate::postgres::context::JsonObject;
use crate::postgres::error::Effect;
use crate::postgres::executor::Operation;
use crate::postgres::token::{TokenRow, by_position, duplicate_token, random_pair_id};
use crate::request::Request;
use crate::secret::{Digest, Secret};

/// Spends a code and stores its tokens.
pub(super) struct RedeemCode {
    digest: Digest,
    client_id: String,
    redirect_uri: String,
    code_challenge: Option<CodeChallenge>,
    access_digest: Digest,
    refresh_digest: Option<Digest>,
    pair_id: i64,
    access_lifetime: i64,
    refresh_lifetime: i64,
}

impl RedeemCode {
    /// `None` for what cannot be valid.
    pub(super) fn new(request: &Request, redeem: &Redeem) -> Result<Option<Self>> {
        let Some(code_challenge) = redeem.expected_challenge() else { return Ok(None) };
        Ok(Some(Self {
            digest: redeem.code.digest(),
            client_id: redeem.client_id.clone(),
            redirect_uri: redeem.redirect_uri.clone(),
            code_challenge,
            access_digest: redeem.access_token.digest(),
            refresh_digest: redeem.refresh_token.as_ref().map(Secret::digest),
            pair_id: random_pair_id()?,
            access_lifetime: micros(request.settings.access_token_expires_in),
            refresh_lifetime: micros(request.settings.refresh_token_expires_in),
        }))
    }
}

impl Operation for RedeemCode {
    /// `None` for an invalid code; otherwise the access token's row, whose `state` is `active`, or
    /// `replayed` if the code was spent before and nothing was stored.
    type Outcome = Option<TokenRow>;
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter();
        let digest: Vec<&[u8]> = each().map(|r| &r.digest.as_bytes()[..]).collect();
        let client_id: Vec<&str> = each().map(|r| r.client_id.as_str()).collect();
        let redirect_uri: Vec<&str> = each().map(|r| r.redirect_uri.as_str()).collect();
        let code_challenge: Vec<Option<&str>> =
            each().map(|r| r.code_challenge.as_ref().map(CodeChallenge::as_s256)).collect();
        let access_digest: Vec<&[u8]> = each().map(|r| &r.access_digest.as_bytes()[..]).collect();
        let refresh_digest: Vec<Option<&[u8]>> = each()
            .map(|r| r.refresh_digest.as_ref().map(|digest| &digest.as_bytes()[..]))
            .collect();
        let pair_id: Vec<i64> = each().map(|r| r.pair_id).collect();
        let access_lifetime: Vec<i64> = each().map(|r| r.access_lifetime).collect();
        let refresh_lifetime: Vec<i64> = each().map(|r| r.refresh_lifetime).collect();

        // Whoever waits for the lock on a code sees it as the one before left it: the conditions
        // and `spent` are evaluated again on the row as it then is. So one request finds it unspent.
        let rows = sqlx::query_as!(
            TokenRow,
            r#"
            WITH code AS MATERIALIZED (
                SELECT
                    input.position, input.access_digest, input.refresh_digest, input.pair_id,
                    input.access_lifetime, input.refresh_lifetime,
                    code.consumed_at IS NOT NULL AS spent, code.digest, code.grant_id,
                    code.client_id, code.subject, code.scope, code.nonce, code.auth_time, code.acr,
                    code.amr, code.claims, code.resource, code.jkt, code.x5t_s256, code.extension
                FROM UNNEST(
                    $1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[],
                    $7::bigint[], $8::bigint[], $9::bigint[]
                ) WITH ORDINALITY AS input (
                    digest, client_id, redirect_uri, code_challenge, access_digest, refresh_digest,
                    pair_id, access_lifetime, refresh_lifetime, position
                )
                JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
                    AND code.client_id = input.client_id
                    AND code.redirect_uri = input.redirect_uri
                    AND code.code_challenge IS NOT DISTINCT FROM input.code_challenge
                    AND code.expires_at > statement_timestamp()
                    AND NOT code.revoked
                JOIN oauth_storage.client ON client.client_id = code.client_id
                    AND client.disabled_at IS NULL
                ORDER BY code.digest
                FOR UPDATE OF code
            ), spent AS (
                UPDATE oauth_storage.authorization_code AS row
                SET consumed_at = statement_timestamp()
                FROM code
                WHERE row.digest = code.digest AND NOT code.spent
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
                    auth_time, pair_id, grant_id, credential.kind, credential.digest, client_id,
                    subject, scope, nonce, acr, amr, claims, resource, jkt, x5t_s256, extension
                FROM code
                CROSS JOIN LATERAL (
                    VALUES
                        ('a'::"char", access_digest, access_lifetime),
                        ('r'::"char", refresh_digest, refresh_lifetime)
                ) AS credential (kind, digest, lifetime)
                WHERE NOT spent AND credential.digest IS NOT NULL
                ORDER BY credential.digest
                RETURNING digest, issued_at, expires_at
            )
            SELECT
                code.position AS "position!",
                CASE WHEN code.spent THEN 'replayed' ELSE 'active' END AS "state!",
                'a' AS "kind!", code.grant_id, code.client_id, code.subject, code.scope,
                coalesce(stored.issued_at, statement_timestamp()) AS "issued_at!",
                coalesce(stored.expires_at, statement_timestamp()) AS "expires_at!",
                code.nonce, code.auth_time, code.acr, code.amr,
                code.claims AS "claims: JsonObject", code.resource, code.jkt, code.x5t_s256,
                code.extension AS "extension: JsonObject"
            FROM code
            LEFT JOIN stored ON stored.digest = code.access_digest
            "#,
            &digest as _,
            &client_id as _,
            &redirect_uri as _,
            &code_challenge as _,
            &access_digest as _,
            &refresh_digest as _,
            &pair_id,
            &access_lifetime,
            &refresh_lifetime,
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn key(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error, self.refresh_digest)
    }
}
