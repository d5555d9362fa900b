-- Moves the end of a grant of a client and subject, which locks it until the transaction ends.
UPDATE oauth_storage.authorization_grant
SET
    expires_at = greatest(expires_at, $4),
    refresh_expires_at = coalesce(refresh_expires_at, $5)
WHERE grant_id = $1 AND client_id = $2 AND subject IS NOT DISTINCT FROM $3
RETURNING revoked_at IS NOT NULL AS "revoked!", scope, context::text AS context
