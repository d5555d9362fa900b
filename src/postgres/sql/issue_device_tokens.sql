-- Issues the tokens of approved device authorizations, a batch at once. One row for each pair that is stored.
WITH device AS MATERIALIZED (
    -- A statement that waited for the lock of a row finds it deleted, so exactly one is issued the tokens.
    SELECT input.*, device.grant_id
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[]
    ) WITH ORDINALITY AS input (
        digest, tail, client_id, access_digest, access_tail, refresh_digest, refresh_tail,
        access_expires_in, refresh_expires_in, grant_expires_in, refresh_end_in, only_offline, position
    )
    JOIN oauth_storage.device_authorization AS device ON device.digest = input.digest
        AND device.digest_tail = input.tail
        AND device.client_id = input.client_id
        AND device.state = 'a'
        AND device.expires_at > statement_timestamp()
    ORDER BY device.digest
    FOR UPDATE OF device
), fitting AS MATERIALIZED (
    -- The grants are locked in order, after the device authorizations.
    SELECT
        device.*, authorized.subject, authorized.scope, authorized.context,
        device.refresh_digest IS NOT NULL AND (
            NOT device.only_offline OR strpos(' ' || authorized.scope || ' ', ' offline_access ') > 0
        ) AS refreshable
    FROM device
    JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = device.grant_id
        AND authorized.client_id = device.client_id
        AND authorized.revoked_at IS NULL
    JOIN oauth_storage.client ON client.client_id = device.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
    JOIN oauth_storage.client_lock AS lock ON lock.client_id = client.client_id
        AND NOT lock.disabled
    ORDER BY authorized.grant_id
    FOR NO KEY UPDATE OF authorized
    FOR SHARE OF lock
), deleted AS (
    DELETE FROM oauth_storage.device_authorization AS row
    USING fitting
    WHERE row.digest = fitting.digest
), extended AS (
    UPDATE oauth_storage.authorization_grant AS row
    SET
        expires_at = statement_timestamp() + interval '1 microsecond'
            * CASE WHEN refreshable THEN grant_expires_in ELSE access_expires_in END::float8,
        refresh_expires_at =
            CASE WHEN refreshable THEN statement_timestamp() + refresh_end_in::float8 * interval '1 microsecond' END
    FROM fitting
    WHERE row.grant_id = fitting.grant_id
), stored AS (
    INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest, digest_tail)
    SELECT
        statement_timestamp(),
        statement_timestamp() + credential.expires_in::float8 * interval '1 microsecond',
        grant_id, credential.kind, credential.digest, credential.tail
    FROM fitting
    CROSS JOIN LATERAL (
        VALUES
            ('a'::"char", access_digest, access_tail, access_expires_in),
            ('r'::"char", refresh_digest, refresh_tail, refresh_expires_in)
    ) AS credential (kind, digest, tail, expires_in)
    WHERE credential.kind = 'a' OR refreshable
    ORDER BY credential.digest
)
SELECT
    position AS "position!", false AS "replayed!", false AS "wider!", grant_id AS "grant_id!", subject, scope AS "scope!",
    statement_timestamp() AS "issued_at!",
    statement_timestamp() + access_expires_in::float8 * interval '1 microsecond' AS "expires_at!",
    context::text AS context, refreshable AS "refreshable!"
FROM fitting
