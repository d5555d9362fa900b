-- Deletes the expired tokens of a batch of grants.
DELETE FROM oauth_storage.token
WHERE grant_id = ANY ($1::uuid[]) AND expires_at <= statement_timestamp()
