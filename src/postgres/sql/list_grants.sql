-- The live grants of a subject, the newest first, and the last grant of the scan where it reached its
-- bound ($3): the page ends there. The scan stops as soon as the page ($4) is full.
SELECT
    position = $3 AS "is_bound!", live AS "live!", grant_id AS "grant_id!",
    client_id AS "client_id!", subject, scope AS "scope!", granted_at AS "granted_at!",
    expires_at AS "expires_at!", false AS "revoked!", false AS "expired!",
    context::text AS context
FROM (
    SELECT
        row_number() OVER (ORDER BY grant_id DESC) AS position,
        revoked_at IS NULL AND expires_at > statement_timestamp() AS live,
        scanned.*
    FROM (
        SELECT *
        FROM oauth_storage.authorization_grant
        WHERE hashtextextended(subject, 0) = hashtextextended($1, 0)
            AND subject = $1
            AND ($2::uuid IS NULL OR grant_id < $2)
        ORDER BY grant_id DESC
        LIMIT $3
    ) AS scanned
) AS numbered
WHERE live OR position = $3
ORDER BY grant_id DESC
LIMIT $4
