-- Stores codes for sessions, each with its new grant, a batch at once. No two calls name the same session.
-- One row for each call.
WITH owner AS MATERIALIZED (
    -- As in create_token.sql: nothing is issued to a client after it was disabled.
    SELECT client_id
    FROM oauth_storage.client
    JOIN oauth_storage.client_lock AS lock USING (client_id)
    WHERE client_id = ANY ($4::text[]) AND client.disabled_at IS NULL AND NOT lock.disabled
        AND coalesce(client.expires_at > statement_timestamp(), true)
    ORDER BY client_id
    FOR SHARE OF lock
), held AS MATERIALIZED (
    -- A sign-out waits for this lock and then sees the grants; after it no statement gets the lock, because
    -- one that waited evaluates the conditions again. Not FOR KEY SHARE, which an update of other columns
    -- neither waits for nor makes evaluate again.
    SELECT sid, subject
    FROM oauth_storage.user_session
    WHERE sid = ANY ($12::uuid[]) AND ended_at IS NULL AND expires_at > statement_timestamp()
    ORDER BY sid
    FOR NO KEY UPDATE
), input AS MATERIALIZED (
    SELECT
        input.*, statement_timestamp() + expires_in::float8 * interval '1 microsecond' AS expires_at
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bigint[], $11::text[], $12::uuid[]
    ) WITH ORDINALITY AS input (
        digest, digest_tail, grant_id, client_id, subject, scope, response_type, redirect_uri, code_challenge,
        expires_in, context, sid, position
    )
    JOIN owner USING (client_id)
    JOIN held ON held.sid = input.sid AND held.subject = input.subject
), noted AS (
    -- The clients that a sign-out reports, as many as 1,000.
    UPDATE oauth_storage.user_session AS row
    SET client_ids = pg_catalog.array_append(row.client_ids, input.client_id)
    FROM input
    WHERE row.sid = input.sid
        AND NOT input.client_id = ANY (row.client_ids)
        AND pg_catalog.cardinality(row.client_ids) < 1000
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
SELECT
    call.position AS "position!", statement_timestamp() AS "now!", input.position IS NOT NULL AS "stored!",
    owner.client_id IS NOT NULL AS "client_is_enabled!"
FROM pg_catalog.unnest($4::text[]) WITH ORDINALITY AS call (client_id, position)
LEFT JOIN owner ON owner.client_id = call.client_id
LEFT JOIN input ON input.position = call.position
