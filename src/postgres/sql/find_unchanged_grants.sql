-- Those of a batch of grants that are still there, and not revoked unless all are asked for ($2).
SELECT grant_id
FROM oauth_storage.authorization_grant
WHERE grant_id = ANY ($1::uuid[]) AND ($2 OR revoked_at IS NULL)
