-- The next grants of a client in the order of their buckets, beginning with a bucket ($2).
SELECT
    grant_id, uuid_hash(grant_id) & 4095 AS "bucket!", revoked_at IS NOT NULL AS "revoked!",
    client_id = $1 AS "matches!"
FROM oauth_storage.authorization_grant
WHERE hashtextextended(client_id, 0::bigint) = hashtextextended($1, 0::bigint)
    AND uuid_hash(grant_id) & 4095 >= $2
ORDER BY hashtextextended(client_id, 0::bigint), uuid_hash(grant_id) & 4095
LIMIT $3
