-- The next grants of a subject in the order of their identifiers; those of one client ($4) match where
-- one is given. Cost is bounded by the limit, whatever state they are in.
--
-- The range is given by comparing rows, and its hash by a subquery, so that the planner cannot take
-- the grants of a subject for few and read them all.
SELECT
    grant_id, revoked_at IS NOT NULL AS "revoked!",
    subject = $1 AND ($4::text IS NULL OR client_id = $4) AS "matches!"
FROM oauth_storage.authorization_grant
WHERE subject IS NOT NULL
    AND (hashtextextended(subject, 0::bigint), grant_id) > ((SELECT hashtextextended($1, 0::bigint)), $2)
    AND (hashtextextended(subject, 0::bigint), grant_id) <= (
        (SELECT hashtextextended($1, 0::bigint)), 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    )
ORDER BY hashtextextended(subject, 0::bigint), grant_id
LIMIT $3
