-- As begin_client_deletion.sql, if the client is still one that a purge deletes.
UPDATE oauth_storage.client
SET
    deleted_at = coalesce(deleted_at, clock_timestamp()),
    disabled_at = coalesce(disabled_at, clock_timestamp()),
    updated_at = statement_timestamp()
WHERE client_id = $1
    AND (
        deleted_at IS NOT NULL
        OR expires_at <= statement_timestamp()
        OR registration_access_token_hash IS NOT NULL
            AND coalesce(last_used_at, client_id_issued_at)
                <= statement_timestamp() - $2::bigint::float8 * interval '1 microsecond'
    )
RETURNING deleted_at AS "deleted_at!"
