-- Sets the flag of the tokens that a batch names, and ends their grants.
WITH named AS MATERIALIZED (
    SELECT token.digest, token.grant_id
    FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[])
        AS input (digest, tail, client_id, kind)
    JOIN oauth_storage.token ON token.digest = input.digest
        AND token.digest_tail = input.tail
        AND (input.kind IS NULL OR token.kind = input.kind::"char")
    JOIN oauth_storage.authorization_grant AS authorized
        ON authorized.grant_id = token.grant_id AND authorized.client_id = input.client_id
    ORDER BY token.digest
    FOR NO KEY UPDATE OF token
), flagged AS (
    UPDATE oauth_storage.token AS row
    SET revoked = true
    FROM named
    WHERE row.digest = named.digest AND NOT row.revoked
), ending AS MATERIALIZED (
    SELECT grant_id
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY (ARRAY (SELECT grant_id FROM named)) AND revoked_at IS NULL
    ORDER BY grant_id
    FOR NO KEY UPDATE
)
UPDATE oauth_storage.authorization_grant AS row
SET revoked_at = statement_timestamp()
FROM ending
WHERE row.grant_id = ending.grant_id
