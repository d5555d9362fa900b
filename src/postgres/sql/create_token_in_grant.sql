-- Stores tokens in grants that exist, a batch at once. One row for each call whose client is known
-- and enabled, and whose grant is of that client and subject. No two calls name the same grant.
WITH owned AS MATERIALIZED (
    -- The grant is locked so that it is neither revoked nor purged meanwhile.
    SELECT
        input.*, existing.revoked_at IS NOT NULL AS revoked, existing.granted_at,
        nullif(input.scope, existing.scope) AS narrower_scope, existing.context AS grant_context
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::uuid[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]
    ) WITH ORDINALITY AS input (
        access_digest, access_tail, refresh_digest, refresh_tail, client_id, subject, scope, grant_id, access_expires_in,
        refresh_expires_in, grant_expires_in, refresh_end_in, position
    )
    JOIN oauth_storage.authorization_grant AS existing ON existing.grant_id = input.grant_id
        AND existing.client_id = input.client_id
        AND existing.subject IS NOT DISTINCT FROM input.subject
    JOIN oauth_storage.client ON client.client_id = input.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
    JOIN oauth_storage.client_lock AS lock ON lock.client_id = client.client_id
        AND NOT lock.disabled
    ORDER BY existing.grant_id
    FOR NO KEY UPDATE OF existing
    FOR SHARE OF lock
), extended AS (
    UPDATE oauth_storage.authorization_grant AS row
    SET
        expires_at = greatest(
            row.expires_at,
            statement_timestamp() + owned.grant_expires_in::float8 * interval '1 microsecond'
        ),
        refresh_expires_at = coalesce(
            row.refresh_expires_at,
            statement_timestamp() + owned.refresh_end_in::float8 * interval '1 microsecond'
        )
    FROM owned
    WHERE row.grant_id = owned.grant_id
), stored AS (
    INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest, digest_tail, scope)
    SELECT
        statement_timestamp(),
        statement_timestamp() + credential.expires_in::float8 * interval '1 microsecond',
        grant_id, credential.kind, credential.digest, credential.tail, narrower_scope
    FROM owned
    CROSS JOIN LATERAL (
        VALUES
            ('a'::"char", access_digest, access_tail, access_expires_in),
            ('r'::"char", refresh_digest, refresh_tail, refresh_expires_in)
    ) AS credential (kind, digest, tail, expires_in)
    WHERE credential.digest IS NOT NULL
    ORDER BY credential.digest
)
SELECT
    position AS "position!", revoked AS "revoked!", statement_timestamp() AS "now!",
    grant_context::text AS context
FROM owned
