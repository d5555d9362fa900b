-- Sets the flag of the token that a revocation request of its client names.
UPDATE oauth_storage.token AS row
SET revoked = true
FROM oauth_storage.authorization_grant AS authorized
WHERE row.grant_id = $1
    AND row.digest = $2
    AND row.digest_tail = $3
    AND ($4::text IS NULL OR row.kind = $4::text::"char")
    AND authorized.grant_id = row.grant_id
    AND authorized.client_id = $5
