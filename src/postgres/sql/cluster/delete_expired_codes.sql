-- Deletes the expired codes of a batch of grants.
DELETE FROM oauth_storage.authorization_code
WHERE grant_id = ANY ($1::uuid[]) AND expires_at <= statement_timestamp()
