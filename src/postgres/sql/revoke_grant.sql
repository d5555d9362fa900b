-- Revokes grants by identifier, a batch at once; of a subject only where one is given. One row for
-- each grant that was revoked.
WITH ending AS MATERIALIZED (
    SELECT authorized.grant_id
    FROM UNNEST($1::uuid[], $2::text[]) AS input (grant_id, subject)
    JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = input.grant_id
        AND authorized.revoked_at IS NULL
        AND (input.subject IS NULL OR authorized.subject = input.subject)
    ORDER BY authorized.grant_id
    FOR NO KEY UPDATE OF authorized
)
UPDATE oauth_storage.authorization_grant AS row
SET revoked_at = statement_timestamp()
FROM ending
WHERE row.grant_id = ending.grant_id
RETURNING row.grant_id
