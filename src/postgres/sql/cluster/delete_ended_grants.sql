-- Deletes those of a batch of grants that have ended.
DELETE FROM oauth_storage.authorization_grant
WHERE grant_id = ANY ($1::uuid[]) AND expires_at <= statement_timestamp()
