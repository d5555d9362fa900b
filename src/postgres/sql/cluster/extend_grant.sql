-- Moves the end of a grant of a client that is not revoked, which locks it until the transaction ends.
UPDATE oauth_storage.authorization_grant
SET
    expires_at = greatest(expires_at, $3),
    refresh_expires_at = coalesce(refresh_expires_at, $4)
WHERE grant_id = $1 AND client_id = $2 AND revoked_at IS NULL
RETURNING subject, scope, context::text AS context
