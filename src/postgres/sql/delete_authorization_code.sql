-- Marks codes as used: not found again. The purge removes them once they have expired.
WITH named AS MATERIALIZED (
    SELECT code.digest
    FROM UNNEST($1::uuid[], $2::uuid[], $3::text[]) AS input (digest, tail, client_id)
    JOIN oauth_storage.authorization_code AS code ON code.digest = input.digest
        AND code.digest_tail = input.tail
    JOIN oauth_storage.authorization_grant AS authorized
        ON authorized.grant_id = code.grant_id AND authorized.client_id = input.client_id
    WHERE code.consumed_at IS NULL
    ORDER BY code.digest
    FOR NO KEY UPDATE OF code
)
UPDATE oauth_storage.authorization_code AS row
SET consumed_at = statement_timestamp()
FROM named
WHERE row.digest = named.digest
