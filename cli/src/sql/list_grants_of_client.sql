-- A page of the live grants of a client, in the order of the index: by bucket, then by identifier.
SELECT grant_id
FROM oauth_storage.authorization_grant
WHERE hashtextextended(client_id, 0::bigint) = hashtextextended($1, 0::bigint) AND client_id = $1
    AND revoked_at IS NULL AND expires_at > statement_timestamp()
    -- Where the index is entered.
    AND (uuid_hash(grant_id) & 4095) >= coalesce(uuid_hash($2::uuid) & 4095, 0)
    AND (
        $2::uuid IS NULL
        OR ((uuid_hash(grant_id) & 4095), grant_id) > ((uuid_hash($2::uuid) & 4095), $2::uuid)
    )
ORDER BY (uuid_hash(grant_id) & 4095), grant_id
LIMIT $3
