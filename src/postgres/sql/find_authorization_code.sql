-- Unused codes by digest and client, with the columns of their grants.
SELECT
    input.position AS "position!", code.grant_id, authorized.client_id, authorized.subject,
    authorized.scope, code.response_type, code.redirect_uri, code.code_challenge,
    code.issued_at, code.expires_at,
    code.expires_at <= statement_timestamp() AS "expired!", authorized.context::text AS context
FROM UNNEST($1::uuid[], $2::uuid[], $3::text[])
    WITH ORDINALITY AS input (digest, tail, client_id, position)
JOIN oauth_storage.authorization_code AS code
    ON code.digest = input.digest
    AND code.digest_tail = input.tail
    AND code.consumed_at IS NULL
JOIN oauth_storage.authorization_grant AS authorized
    ON authorized.grant_id = code.grant_id
    AND authorized.client_id = input.client_id
    AND authorized.revoked_at IS NULL
