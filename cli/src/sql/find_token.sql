-- A token by its digest, whatever its state.
SELECT
    CASE token.kind WHEN 'a' THEN 'access_token' ELSE 'refresh_token' END AS "kind!",
    CASE
        WHEN token.revoked OR authorized.revoked_at IS NOT NULL THEN 'revoked'
        WHEN token.rotated_at IS NOT NULL THEN 'rotated'
        WHEN token.expires_at <= statement_timestamp() THEN 'expired'
        ELSE 'active'
    END AS "state!",
    token.grant_id, authorized.client_id, authorized.subject, coalesce(token.scope, authorized.scope) AS "scope!",
    token.issued_at, token.expires_at, authorized.context ->> 'jkt' AS jkt
FROM oauth_storage.token
JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = token.grant_id
WHERE token.digest = $1 AND token.digest_tail = $2
