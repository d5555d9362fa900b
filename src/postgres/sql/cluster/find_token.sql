-- A token of a grant, with the columns of the grant, as find_token.sql beside this folder.
SELECT
    token.digest, token.digest_tail, token.grant_id, token.kind AS "kind: _", authorized.client_id,
    authorized.subject, coalesce(token.scope, authorized.scope) AS "scope!", token.issued_at,
    token.expires_at,
    CASE
        WHEN token.revoked OR authorized.revoked_at IS NOT NULL THEN 'v'
        WHEN token.rotated_at IS NOT NULL THEN 'o'
        WHEN token.expires_at <= statement_timestamp() THEN 'e'
        ELSE 'a'
    END::"char" AS "state!: _",
    authorized.context::text AS context
FROM oauth_storage.token
JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = token.grant_id
WHERE token.grant_id = $1 AND token.digest = $2 AND token.digest_tail = $3
