-- A grant by its identifier.
SELECT
    grant_id, client_id, subject, scope, granted_at, expires_at,
    revoked_at IS NOT NULL AS "revoked!", expires_at <= statement_timestamp() AS "expired!",
    context::text AS context
FROM oauth_storage.authorization_grant
WHERE grant_id = $1
