-- Revokes a batch of grants. A cluster cannot skip locked rows.
UPDATE oauth_storage.authorization_grant
SET revoked_at = statement_timestamp()
WHERE grant_id = ANY ($1::uuid[]) AND revoked_at IS NULL
RETURNING grant_id
