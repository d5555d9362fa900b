-- Stores codes, each with its new grant, a batch at once. One row for each client that is known and
-- enabled.
WITH owner AS MATERIALIZED (
    -- As in create_token.sql: nothing is issued to a client after it was disabled.
    SELECT client_id
    FROM oauth_storage.client
    JOIN oauth_storage.client_lock AS lock USING (client_id)
    WHERE client_id = ANY ($4::text[]) AND client.disabled_at IS NULL AND NOT lock.disabled
        AND coalesce(client.expires_at > statement_timestamp(), true)
    ORDER BY client_id
    FOR SHARE OF lock
), input AS MATERIALIZED (
    SELECT
        input.*, statement_timestamp() + expires_in::float8 * interval '1 microsecond' AS expires_at
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[], $11::text[]
    ) AS input (
        digest, digest_tail, grant_id, client_id, subject, scope, response_type, redirect_uri, code_challenge,
        expires_in, context
    )
    JOIN owner USING (client_id)
), stored AS (
    INSERT INTO oauth_storage.authorization_code (
        issued_at, expires_at, grant_id, digest, digest_tail, response_type, redirect_uri, code_challenge
    )
    SELECT
        statement_timestamp(), expires_at, grant_id, digest, digest_tail, response_type, redirect_uri,
        code_challenge
    FROM input
    ORDER BY digest
), granted AS (
    INSERT INTO oauth_storage.authorization_grant (
        granted_at, expires_at, grant_id, client_id, subject, scope, context
    )
    SELECT
        statement_timestamp(), expires_at, grant_id, client_id, subject, scope, context::jsonb
    FROM input
    ORDER BY grant_id
)
SELECT client_id, statement_timestamp() AS "now!" FROM owner
