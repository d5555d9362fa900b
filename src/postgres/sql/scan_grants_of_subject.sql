-- The next grants of a subject, of one client only where one is given, in the order of their
-- identifiers. Cost is bounded by the limit, whatever state they are in.
SELECT
    grant_id, revoked_at IS NOT NULL AS "revoked!",
    $4::text IS NULL OR client_id = $4 AS "matches!"
FROM oauth_storage.authorization_grant
WHERE hashtextextended(subject, 0) = hashtextextended($1, 0)
    AND subject = $1
    AND grant_id > $2
ORDER BY grant_id
LIMIT $3
