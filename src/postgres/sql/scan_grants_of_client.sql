-- The next grants of a client in the order of their buckets, beginning with a bucket ($2). With a time
-- of deletion ($4): none once that registration is gone, so that a late deletion leaves a new
-- registration alone. The cost is bounded by the limit, whatever state they are in.
--
-- Rows are compared for the reason that scan_grants_of_subject.sql gives.
SELECT
    grant_id, uuid_hash(grant_id) & 4095 AS "bucket!", revoked_at IS NOT NULL AS "revoked!",
    client_id = $1 AS "matches!"
FROM oauth_storage.authorization_grant
WHERE (hashtextextended(client_id, 0::bigint), uuid_hash(grant_id) & 4095)
        >= ((SELECT hashtextextended($1, 0::bigint)), $2)
    AND (hashtextextended(client_id, 0::bigint), uuid_hash(grant_id) & 4095)
        <= ((SELECT hashtextextended($1, 0::bigint)), 4095)
    AND (
        $4::timestamptz IS NULL
        OR EXISTS (
            SELECT FROM oauth_storage.client
            WHERE client.client_id = $1 AND client.deleted_at = $4
        )
    )
ORDER BY hashtextextended(client_id, 0::bigint), uuid_hash(grant_id) & 4095
LIMIT $3
