-- The first grants of each of several sessions, at most $2 of each. As scan_grants_of_session.sql, which
-- continues where a session has more.
SELECT
    session.sid AS "sid!", found.grant_id AS "grant_id!", found.client_id AS "client_id!",
    found.matches AS "matches!", found.revoked AS "revoked!", found.offline AS "offline!"
FROM pg_catalog.unnest($1::text[]) AS session (sid)
CROSS JOIN LATERAL (
    SELECT
        grant_id, client_id, context ->> 'sid' = session.sid AS matches, revoked_at IS NOT NULL AS revoked,
        ' ' || scope || ' ' LIKE '% offline_access %' AS offline
    FROM oauth_storage.authorization_grant
    WHERE context ? 'sid'
        AND (hashtextextended(context ->> 'sid', 0::bigint), grant_id) >= (
            hashtextextended(session.sid, 0::bigint), '00000000-0000-0000-0000-000000000000'
        )
        AND (hashtextextended(context ->> 'sid', 0::bigint), grant_id) <= (
            hashtextextended(session.sid, 0::bigint), 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        )
    ORDER BY hashtextextended(context ->> 'sid', 0::bigint), grant_id
    LIMIT $2
) AS found
