-- Holds a refresh token that fits its request, with what its grant says.
SELECT
    token.scope AS own_scope, token.expires_at, authorized.subject,
    authorized.scope AS grant_scope, authorized.context::text AS context,
    authorized.expires_at AS grant_expires_at, authorized.refresh_expires_at,
    token.rotated_at IS NULL AS "unspent!",
    token.rotated_at IS NOT NULL AND (
        $6::bigint = 0 OR token.rotated_at + $6::float8 * interval '1 microsecond' <= statement_timestamp()
    ) AS "reused!"
FROM oauth_storage.token
JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = token.grant_id
WHERE token.grant_id = $1
    AND token.digest = $2
    AND token.digest_tail = $3
    AND token.kind = 'r'
    AND NOT token.revoked
    AND token.expires_at > $5
    AND authorized.client_id = $4
    AND authorized.revoked_at IS NULL
    AND coalesce(authorized.refresh_expires_at > $5, true)
FOR UPDATE OF token
