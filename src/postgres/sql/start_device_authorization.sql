-- Stores device authorizations, a batch at once. One row for each call: whether its client is known and
-- enabled, and whether it was stored. A live authorization keeps its user code, and so does an approved one. No two calls have the
-- same user code.
WITH input AS MATERIALIZED (
    SELECT input.*, client.client_id AS known_client
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::integer[],
        $9::bigint[]
    ) WITH ORDINALITY AS input (
        digest, digest_tail, user_code_digest, grant_id, client_id, scope, context, poll_interval, expires_in,
        position
    )
    LEFT JOIN oauth_storage.client ON client.client_id = input.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
), stored AS (
    INSERT INTO oauth_storage.device_authorization (
        issued_at, expires_at, grant_id, digest, digest_tail, user_code_digest, poll_interval, client_id, scope,
        context
    )
    SELECT
        statement_timestamp(), statement_timestamp() + expires_in::float8 * interval '1 microsecond', grant_id,
        digest, digest_tail, user_code_digest, poll_interval, client_id, scope, context::jsonb
    FROM input
    WHERE known_client IS NOT NULL
    ORDER BY user_code_digest
    ON CONFLICT (user_code_digest) DO UPDATE
    SET
        issued_at = excluded.issued_at,
        expires_at = excluded.expires_at,
        polled_at = NULL,
        grant_id = excluded.grant_id,
        digest = excluded.digest,
        digest_tail = excluded.digest_tail,
        poll_interval = excluded.poll_interval,
        state = 'p',
        client_id = excluded.client_id,
        scope = excluded.scope,
        context = excluded.context
    -- The grant of one that was approved is still to be purged.
    WHERE device_authorization.expires_at <= statement_timestamp() AND device_authorization.state <> 'a'
    RETURNING digest
)
SELECT
    input.position AS "position!", input.known_client IS NOT NULL AS "known!",
    stored.digest IS NOT NULL AS "stored!"
FROM input
LEFT JOIN stored ON stored.digest = input.digest
