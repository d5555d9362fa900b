-- Spends refresh tokens and stores their successors, a batch at once. One row for each token that
-- fits its request.
WITH old AS MATERIALIZED (
    -- A statement that waited for the lock of a token evaluates the conditions again, on the new version
    -- of the row. A grace of zero is compared by itself, because a request that waited began before the
    -- rotation that it lost to. The grant needs no lock: if it is revoked meanwhile, the successors
    -- belong to a revoked grant.
    SELECT
        input.position, input.scope AS requested_scope, input.wider, input.access_digest,
        input.access_tail, input.refresh_digest, input.refresh_tail, token.digest, token.grant_id, token.scope AS own_scope,
        authorized.subject, authorized.scope AS grant_scope, authorized.context,
        authorized.expires_at AS grant_expires_at, authorized.refresh_expires_at,
        input.refresh_idle,
        token.rotated_at IS NULL AS unspent,
        token.rotated_at IS NOT NULL AND (
            input.grace = 0
            OR token.rotated_at + input.grace::float8 * interval '1 microsecond' <= statement_timestamp()
        ) AS reused,
        coalesce(authorized.refresh_expires_at, token.expires_at) AS refresh_end,
        statement_timestamp() + input.access_expires_in::float8 * interval '1 microsecond' AS access_end
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::boolean[], $6::uuid[], $7::uuid[],
        $8::uuid[], $9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[]
    ) WITH ORDINALITY AS input (
        digest, tail, client_id, scope, wider, access_digest, access_tail, refresh_digest,
        refresh_tail, access_expires_in, refresh_idle, grace, position
    )
    JOIN oauth_storage.token ON token.digest = input.digest
        AND token.digest_tail = input.tail
        AND token.kind = 'r'
        AND NOT token.revoked
        AND token.expires_at > statement_timestamp()
    JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = token.grant_id
        AND authorized.client_id = input.client_id
        AND authorized.revoked_at IS NULL
        AND coalesce(authorized.refresh_expires_at > statement_timestamp(), true)
    JOIN oauth_storage.client ON client.client_id = input.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
    JOIN oauth_storage.client_lock AS lock ON lock.client_id = client.client_id
        AND NOT lock.disabled
    ORDER BY token.digest
    FOR UPDATE OF token
    FOR SHARE OF lock
), outcome AS MATERIALIZED (
    -- Nothing outlives the absolute end of the grant's refresh tokens.
    SELECT
        old.*, NOT reused AND NOT wider AS issued,
        least(access_end, refresh_end) AS access_expires_at,
        least(
            statement_timestamp() + refresh_idle::float8 * interval '1 microsecond', refresh_end
        ) AS refresh_expires_at_new
    FROM old
), rotated AS (
    UPDATE oauth_storage.token AS row
    SET rotated_at = statement_timestamp()
    FROM outcome
    WHERE row.digest = outcome.digest AND outcome.issued AND outcome.unspent
), stored AS (
    INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest, digest_tail, scope)
    SELECT
        statement_timestamp(), credential.expires_at, grant_id, credential.kind,
        credential.digest, credential.tail, nullif(credential.scope, grant_scope)
    FROM outcome
    CROSS JOIN LATERAL (
        VALUES
            (
                'a'::"char", access_digest, access_tail, access_expires_at,
                coalesce(requested_scope, own_scope, grant_scope)
            ),
            (
                'r'::"char", refresh_digest, refresh_tail, refresh_expires_at_new,
                coalesce(own_scope, grant_scope)
            )
    ) AS credential (kind, digest, tail, expires_at, scope)
    WHERE issued
    ORDER BY credential.digest
), change AS MATERIALIZED (
    -- A reuse ends the grant. An idle lifetime moves its end, and keeps the absolute end of its
    -- refresh tokens.
    SELECT
        grant_id, bool_or(reused) AS reused,
        max(greatest(access_expires_at, refresh_expires_at_new)) AS expires_at,
        max(refresh_end) AS refresh_end
    FROM outcome
    WHERE reused
        OR issued AND (
            grant_expires_at < greatest(access_expires_at, refresh_expires_at_new)
            OR refresh_idle IS NOT NULL AND refresh_expires_at IS NULL
        )
    GROUP BY grant_id
), changing AS MATERIALIZED (
    SELECT change.*
    FROM change
    JOIN oauth_storage.authorization_grant AS authorized USING (grant_id)
    ORDER BY authorized.grant_id
    FOR NO KEY UPDATE OF authorized
), changed AS (
    UPDATE oauth_storage.authorization_grant AS row
    SET
        revoked_at = CASE
            WHEN changing.reused THEN coalesce(row.revoked_at, statement_timestamp())
            ELSE row.revoked_at
        END,
        expires_at = CASE
            WHEN changing.reused THEN row.expires_at
            ELSE greatest(row.expires_at, changing.expires_at)
        END,
        refresh_expires_at = CASE
            WHEN changing.reused THEN row.refresh_expires_at
            ELSE coalesce(row.refresh_expires_at, changing.refresh_end)
        END
    FROM changing
    WHERE row.grant_id = changing.grant_id
)
SELECT
    position AS "position!", reused AS "replayed!", wider AS "wider!", grant_id AS "grant_id!",
    subject, coalesce(requested_scope, own_scope, grant_scope) AS "scope!",
    statement_timestamp() AS "issued_at!", access_expires_at AS "expires_at!",
    context::text AS context, true AS "refreshable!"
FROM outcome
