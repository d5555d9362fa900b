-- The next grants of a session in the order of their identifiers. Cost is bounded by the limit, whatever
-- state they are in. A sign-out ends those without offline_access (OpenID Connect Back-Channel Logout 2.7).
--
-- Rows are compared for the reason that scan_grants_of_subject.sql gives.
SELECT
    grant_id, client_id, context ->> 'sid' = $1 AS "matches!", revoked_at IS NOT NULL AS "revoked!",
    ' ' || scope || ' ' LIKE '% offline_access %' AS "offline!"
FROM oauth_storage.authorization_grant
WHERE context ? 'sid'
    AND (hashtextextended(context ->> 'sid', 0::bigint), grant_id) > ((SELECT hashtextextended($1, 0::bigint)), $2)
    AND (hashtextextended(context ->> 'sid', 0::bigint), grant_id) <= (
        (SELECT hashtextextended($1, 0::bigint)), 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    )
ORDER BY hashtextextended(context ->> 'sid', 0::bigint), grant_id
LIMIT $3
