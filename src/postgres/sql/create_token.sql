-- Stores tokens of new grants, a batch at once. One row for each client that is known and enabled.
WITH owner AS MATERIALIZED (
    -- Disabling and deleting the client wait for this lock, and no statement gets it after that:
    -- nothing is issued to a client once it is disabled.
    SELECT client_id
    FROM oauth_storage.client
    JOIN oauth_storage.client_lock AS lock USING (client_id)
    WHERE client_id = ANY ($5::text[]) AND client.disabled_at IS NULL AND NOT lock.disabled
        AND coalesce(client.expires_at > statement_timestamp(), true)
    ORDER BY client_id
    FOR SHARE OF lock
), input AS MATERIALIZED (
    SELECT input.*
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
        $8::uuid[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[]
    ) AS input (
        access_digest, access_tail, refresh_digest, refresh_tail, client_id, subject, scope, grant_id, access_expires_in,
        refresh_expires_in, grant_expires_in, refresh_end_in, context
    )
    JOIN owner USING (client_id)
), granted AS (
    INSERT INTO oauth_storage.authorization_grant (
        granted_at, expires_at, refresh_expires_at, grant_id, client_id, subject, scope, context
    )
    SELECT
        statement_timestamp(),
        statement_timestamp() + grant_expires_in::float8 * interval '1 microsecond',
        statement_timestamp() + refresh_end_in::float8 * interval '1 microsecond',
        grant_id, client_id, subject, scope, context::jsonb
    FROM input
    ORDER BY grant_id
), stored AS (
    -- In the order of digests, as every statement locks tokens.
    INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest, digest_tail)
    SELECT
        statement_timestamp(),
        statement_timestamp() + credential.expires_in::float8 * interval '1 microsecond',
        grant_id, credential.kind, credential.digest, credential.tail
    FROM input
    CROSS JOIN LATERAL (
        VALUES
            ('a'::"char", access_digest, access_tail, access_expires_in),
            ('r'::"char", refresh_digest, refresh_tail, refresh_expires_in)
    ) AS credential (kind, digest, tail, expires_in)
    WHERE credential.digest IS NOT NULL
    ORDER BY credential.digest
)
SELECT client_id, statement_timestamp() AS "now!" FROM owner
