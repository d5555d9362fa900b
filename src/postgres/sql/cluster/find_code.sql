-- An unused code of a grant and a client, with the columns of the grant.
SELECT
    1::bigint AS "position!", code.grant_id, authorized.client_id, authorized.subject,
    authorized.scope, code.response_type, code.redirect_uri, code.code_challenge,
    code.issued_at, code.expires_at,
    code.expires_at <= statement_timestamp() AS "expired!", authorized.context::text AS context
FROM oauth_storage.authorization_code AS code
JOIN oauth_storage.authorization_grant AS authorized ON authorized.grant_id = code.grant_id
WHERE code.grant_id = $1
    AND code.digest = $2
    AND code.digest_tail = $3
    AND code.consumed_at IS NULL
    AND authorized.client_id = $4
    AND authorized.revoked_at IS NULL
