-- Marks a code of a client as used.
UPDATE oauth_storage.authorization_code AS row
SET consumed_at = statement_timestamp()
FROM oauth_storage.authorization_grant AS authorized
WHERE row.grant_id = $1
    AND row.digest = $2
    AND row.digest_tail = $3
    AND row.consumed_at IS NULL
    AND authorized.grant_id = row.grant_id
    AND authorized.client_id = $4
