-- Revokes a grant; of a subject or a client only where one is given.
UPDATE oauth_storage.authorization_grant
SET revoked_at = statement_timestamp()
WHERE grant_id = $1
    AND revoked_at IS NULL
    AND ($2::text IS NULL OR subject = $2)
    AND ($3::text IS NULL OR client_id = $3)
