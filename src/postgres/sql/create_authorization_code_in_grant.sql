-- Stores codes in grants that exist, a batch at once. One row for each call whose client is known and
-- enabled, and whose grant is live and of that client, subject and scope. No two calls name the same
-- grant.
WITH owned AS MATERIALIZED (
    -- The grant is locked so that it is neither revoked nor purged meanwhile.
    SELECT
        input.*, existing.context,
        statement_timestamp() + expires_in::float8 * interval '1 microsecond' AS expires_at
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[]
    ) WITH ORDINALITY AS input (
        digest, digest_tail, grant_id, client_id, subject, scope, response_type, redirect_uri, code_challenge,
        expires_in, position
    )
    JOIN oauth_storage.authorization_grant AS existing ON existing.grant_id = input.grant_id
        AND existing.client_id = input.client_id
        AND existing.subject IS NOT DISTINCT FROM input.subject
        AND existing.scope = input.scope
        AND existing.revoked_at IS NULL
        AND existing.expires_at > statement_timestamp()
        AND coalesce(existing.refresh_expires_at > statement_timestamp(), true)
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
    SET expires_at = greatest(row.expires_at, owned.expires_at)
    FROM owned
    WHERE row.grant_id = owned.grant_id
), stored AS (
    INSERT INTO oauth_storage.authorization_code (
        issued_at, expires_at, grant_id, digest, digest_tail, response_type, redirect_uri, code_challenge
    )
    SELECT
        statement_timestamp(), expires_at, grant_id, digest, digest_tail, response_type, redirect_uri,
        code_challenge
    FROM owned
    ORDER BY digest
)
SELECT position AS "position!", statement_timestamp() AS "now!", context::text AS context
FROM owned
