-- Adds to what subjects allowed clients, a batch at once. One row for each call whose client is known and
-- enabled; without times if the scope would be too large. No two calls have the same subject and client.
WITH owner AS MATERIALIZED (
    -- As in create_token.sql: nothing is stored for a client after it was disabled.
    SELECT client_id
    FROM oauth_storage.client
    JOIN oauth_storage.client_lock AS lock USING (client_id)
    WHERE client_id = ANY ($2::text[]) AND client.disabled_at IS NULL AND NOT lock.disabled
        AND coalesce(client.expires_at > statement_timestamp(), true)
    ORDER BY client_id
    FOR SHARE OF lock
), input AS MATERIALIZED (
    SELECT input.*
    FROM UNNEST($1::text[], $2::text[], $3::text[])
        WITH ORDINALITY AS input (subject, client_id, scope, position)
    JOIN owner USING (client_id)
), stored AS (
    INSERT INTO oauth_storage.consent (granted_at, updated_at, subject, client_id, scope)
    SELECT statement_timestamp(), statement_timestamp(), subject, client_id, scope
    FROM input
    ORDER BY subject, client_id
    ON CONFLICT (subject, client_id) DO UPDATE
    SET
        updated_at = excluded.updated_at,
        -- The tokens of both, in the order in which they were allowed.
        scope = (
            SELECT coalesce(string_agg(token, ' ' ORDER BY first), '')
            FROM (
                SELECT token, min(ordinality) AS first
                FROM pg_catalog.unnest(string_to_array(consent.scope || ' ' || excluded.scope, ' '))
                    WITH ORDINALITY AS both_scopes (token, ordinality)
                WHERE token <> ''
                GROUP BY token
            ) AS tokens
        )
    WHERE (
        SELECT count(*) <= $4 AND coalesce(sum(octet_length(token) + 1), 0) <= $5 + 1
        FROM (
            SELECT DISTINCT token
            FROM pg_catalog.unnest(string_to_array(consent.scope || ' ' || excluded.scope, ' ')) AS both_scopes (token)
            WHERE token <> ''
        ) AS tokens
    )
    RETURNING subject, client_id, scope, granted_at, updated_at
)
SELECT
    input.position AS "position!", stored.scope AS "scope?", stored.granted_at AS "granted_at?",
    stored.updated_at AS "updated_at?"
FROM input
LEFT JOIN stored ON stored.subject = input.subject AND stored.client_id = input.client_id
