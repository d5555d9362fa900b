-- Deletes a batch of grants, except those that are locked. Their tokens and codes
-- are not found any more; the purge removes them when they have expired.
WITH doomed AS MATERIALIZED (
    SELECT grant_id
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY ($1::uuid[])
    ORDER BY grant_id
    FOR UPDATE SKIP LOCKED
)
DELETE FROM oauth_storage.authorization_grant AS row
USING doomed
WHERE row.grant_id = doomed.grant_id
RETURNING row.grant_id
