-- Spends codes and stores their tokens, a batch at once. One row for each code that fits its request.
WITH code AS MATERIALIZED (
    -- A statement that waited for the lock of a code evaluates the conditions again, on the new version
    -- of the row, so exactly one request finds the code unspent.
    SELECT input.*, code.grant_id, code.consumed_at IS NOT NULL AS replayed
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[],
        $8::uuid[], $9::uuid[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
        $14::boolean[]
    ) WITH ORDINALITY AS input (
        digest, tail, client_id, redirect_uri, code_challenge, access_digest, access_tail,
        refresh_digest, refresh_tail, access_expires_in, refresh_expires_in, grant_expires_in, refresh_end_in,
        only_offline, position
    )
    JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
        AND code.digest_tail = input.tail
        AND code.redirect_uri = input.redirect_uri
        AND code.code_challenge IS NOT DISTINCT FROM input.code_challenge
        AND code.expires_at > statement_timestamp()
    ORDER BY code.digest
    FOR UPDATE OF code
), fitting AS MATERIALIZED (
    -- Only now that every code is locked: whose it is, and whether its grant and its client still
    -- hold. Grants are locked in order, after codes and tokens.
    SELECT
        code.*, authorized.subject, authorized.scope, authorized.context,
        refresh_digest IS NOT NULL AND (
            NOT only_offline OR strpos(' ' || authorized.scope || ' ', ' offline_access ') > 0
        ) AS refreshable
    FROM code
    JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = code.grant_id
        AND authorized.client_id = code.client_id
        AND authorized.revoked_at IS NULL
    JOIN oauth_storage.client ON client.client_id = code.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
    JOIN oauth_storage.client_lock AS lock ON lock.client_id = client.client_id
        AND NOT lock.disabled
    ORDER BY authorized.grant_id
    FOR NO KEY UPDATE OF authorized
    FOR SHARE OF lock
), spent AS (
    UPDATE oauth_storage.authorization_code AS row
    SET consumed_at = statement_timestamp()
    FROM fitting
    WHERE row.digest = fitting.digest AND NOT fitting.replayed
), change AS MATERIALIZED (
    -- A replay ends the grant; an exchange moves its end. Two codes of a batch may share a grant.
    SELECT
        grant_id, bool_or(replayed) AS replayed,
        max(
            CASE
                WHEN replayed THEN NULL
                WHEN refreshable THEN grant_expires_in
                ELSE access_expires_in
            END
        ) AS expires_in,
        max(CASE WHEN refreshable AND NOT replayed THEN refresh_end_in END) AS refresh_end_in
    FROM fitting
    GROUP BY grant_id
), changed AS (
    UPDATE oauth_storage.authorization_grant AS row
    SET
        revoked_at = CASE WHEN change.replayed THEN statement_timestamp() END,
        expires_at = greatest(
            row.expires_at,
            statement_timestamp() + change.expires_in::float8 * interval '1 microsecond'
        ),
        refresh_expires_at = coalesce(
            row.refresh_expires_at,
            statement_timestamp() + change.refresh_end_in::float8 * interval '1 microsecond'
        )
    FROM change
    WHERE row.grant_id = change.grant_id
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
    WHERE NOT replayed AND (credential.kind = 'a' OR refreshable)
    ORDER BY credential.digest
)
SELECT
    position AS "position!", replayed AS "replayed!", false AS "wider!", grant_id AS "grant_id!",
    subject, scope AS "scope!", statement_timestamp() AS "issued_at!",
    statement_timestamp() + access_expires_in::float8 * interval '1 microsecond' AS "expires_at!",
    context::text AS context, refreshable AS "refreshable!"
FROM fitting
