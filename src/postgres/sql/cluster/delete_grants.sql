-- Deletes a batch of grants. A cluster does not pass by rows that somebody holds.
DELETE FROM oauth_storage.authorization_grant
WHERE grant_id = ANY ($1::uuid[])
RETURNING grant_id
