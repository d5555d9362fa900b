-- Deletes a batch of grants. A cluster cannot skip locked rows.
DELETE FROM oauth_storage.authorization_grant
WHERE grant_id = ANY ($1::uuid[])
RETURNING grant_id
