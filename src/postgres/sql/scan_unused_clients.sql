-- The next clients after an identifier ($1) that a purge deletes: those that have expired, those that
-- registered themselves and were not used for a time ($2), and those whose deletion was interrupted.
SELECT
    client_id,
    deleted_at IS NOT NULL OR coalesce(expires_at <= statement_timestamp(), false) AS "ended!"
FROM oauth_storage.client
WHERE client_id > $1
    AND (
        deleted_at IS NOT NULL
        OR expires_at <= statement_timestamp()
        OR registration_access_token_hash IS NOT NULL
            AND coalesce(last_used_at, client_id_issued_at)
                <= statement_timestamp() - $2::bigint::float8 * interval '1 microsecond'
    )
ORDER BY client_id
LIMIT 100
