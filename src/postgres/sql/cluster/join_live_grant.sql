-- Moves the end of a live grant of a client, subject and scope, which locks it until the transaction ends.
UPDATE oauth_storage.authorization_grant
SET expires_at = greatest(expires_at, $5)
WHERE grant_id = $1
    AND client_id = $2
    AND subject IS NOT DISTINCT FROM $3
    AND scope = $4
    AND revoked_at IS NULL
    AND expires_at > $6
    AND coalesce(refresh_expires_at > $6, true)
RETURNING context::text AS context
