-- Revokes a batch of grants, except those that are locked.
WITH ending AS MATERIALIZED (
    SELECT grant_id
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY ($1::uuid[]) AND revoked_at IS NULL
    ORDER BY grant_id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE oauth_storage.authorization_grant AS row
SET revoked_at = statement_timestamp()
FROM ending
WHERE row.grant_id = ending.grant_id
RETURNING row.grant_id
