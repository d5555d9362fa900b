-- Tokens by the first half of the digest, with the columns of their grants.
SELECT
    token.digest, token.digest_tail, token.grant_id, token.kind AS "kind: _", authorized.client_id,
    authorized.subject, coalesce(token.scope, authorized.scope) AS "scope!", token.issued_at,
    token.expires_at, token.revoked OR authorized.revoked_at IS NOT NULL AS "revoked!",
    token.rotated_at IS NOT NULL AS "rotated!",
    token.expires_at <= statement_timestamp() AS "expired!", authorized.context::text AS context
FROM oauth_storage.token
JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = token.grant_id
WHERE token.digest = ANY ($1::uuid[])
