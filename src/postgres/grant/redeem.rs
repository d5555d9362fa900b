use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use crate::error::Error;
use crate::model::{CodeChallenge, Redeem, micros};
use crate::postgres::error::Effect;
use crate::postgres::executor::Operation;
use crate::postgres::grant::SpentRow;
use crate::postgres::token::{alone, by_position, duplicate_token};
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
    access_lifetime: i64,
    refresh_lifetime: i64,
}

impl RedeemCode {
    /// `None` for what cannot be valid.
    pub(super) fn new(request: &Request, redeem: &Redeem) -> Option<Self> {
        let code_challenge = redeem.expected_challenge()?;
        Some(Self {
            digest: redeem.code.digest(),
            client_id: redeem.client_id.clone(),
            redirect_uri: redeem.redirect_uri.clone(),
            code_challenge,
            access_digest: redeem.access_token.digest(),
            refresh_digest: redeem.refresh_token.as_ref().map(Secret::digest),
            access_lifetime: micros(request.settings.access_token_expires_in),
            refresh_lifetime: micros(request.settings.refresh_token_expires_in),
        })
    }
}

impl Operation for RedeemCode {
    /// `None` for an invalid code.
    type Outcome = Option<SpentRow>;
    const NAME: &'static str = "redeem_authorization_code";
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
        let access_lifetime: Vec<i64> = each().map(|r| r.access_lifetime).collect();
        let refresh_lifetime: Vec<i64> = each().map(|r| r.refresh_lifetime).collect();

        // Whoever waits for the lock on a code sees it as the one before left it: the conditions
        // and `spent` are evaluated again on the row as it then is. So one request finds it unspent.
        // (`locked`, and its digest once more: DESIGN.md, "Past one machine".)
        let rows = sqlx::query_as!(
            SpentRow,
            r#"
            WITH locked AS MATERIALIZED (
                SELECT * FROM (
                    SELECT
                        input.position, input.access_digest, input.refresh_digest,
                        statement_timestamp() + input.position * interval '1 microsecond'
                            AS issued_at,
                        input.access_lifetime * interval '1 microsecond' AS access_lifetime,
                        input.refresh_lifetime * interval '1 microsecond' AS refresh_lifetime,
                        code.consumed_at IS NOT NULL AS spent, code.digest, code.grant_id,
                        code.client_id, code.subject, code.scope, code.context
                    FROM UNNEST(
                        $1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[],
                        $7::bigint[], $8::bigint[]
                    ) WITH ORDINALITY AS input (
                        digest, client_id, redirect_uri, code_challenge, access_digest,
                        refresh_digest,
                        access_lifetime, refresh_lifetime, position
                    )
                    JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
                        AND code.client_id = input.client_id
                        AND code.redirect_uri = input.redirect_uri
                        AND code.code_challenge IS NOT DISTINCT FROM input.code_challenge
                        AND code.expires_at > statement_timestamp()
                        AND NOT code.revoked
                    WHERE ($9::bytea IS NULL OR code.digest = $9)
                    ORDER BY code.digest
                    FOR UPDATE OF code
                ) AS locked
            ), code AS MATERIALIZED (
                SELECT locked.*
                FROM locked
                JOIN oauth_storage.client ON client.client_id = locked.client_id
                    AND client.disabled_at IS NULL
            ), spent AS (
                UPDATE oauth_storage.authorization_code AS row
                SET consumed_at = statement_timestamp()
                FROM code
                WHERE row.digest = code.digest AND ($9::bytea IS NULL OR row.digest = $9)
                    AND NOT code.spent
            ), stored AS (
                INSERT INTO oauth_storage.token (
                    issued_at, expires_at, grant_id, kind, digest, client_id, subject, scope,
                    context
                )
                SELECT
                    issued_at, issued_at + credential.lifetime, grant_id, credential.kind,
                    credential.digest, client_id, subject, scope, context
                FROM code
                CROSS JOIN LATERAL (
                    VALUES
                        ('a'::"char", access_digest, access_lifetime),
                        ('r'::"char", refresh_digest, refresh_lifetime)
                ) AS credential (kind, digest, lifetime)
                WHERE NOT spent AND credential.digest IS NOT NULL
                ORDER BY credential.digest
            )
            SELECT
                position AS "position!", spent AS "reused!", false AS "wider!", grant_id,
                subject, scope,
                issued_at AS "issued_at!", issued_at + access_lifetime AS "expires_at!",
                context::text AS context
            FROM code
            "#,
            &digest as _,
            &client_id as _,
            &redirect_uri as _,
            &code_challenge as _,
            &access_digest as _,
            &refresh_digest as _,
            &access_lifetime,
            &refresh_lifetime,
            alone(batch, |redeem| &redeem.digest),
        )
        .fetch_all(connection)
        .await?;
        Ok(by_position(batch.len(), rows.into_iter().map(|row| (row.position, row))))
    }

    fn key(&self) -> Option<u128> {
        self.digest.as_bytes().first_chunk().map(|half| u128::from_be_bytes(*half))
    }

    fn refused(&self, error: &PgDatabaseError) -> Option<Error> {
        duplicate_token(error, self.refresh_digest)
    }
}
