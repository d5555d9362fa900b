-- Disables a client, or enables it again. lock_out_client.sql follows.
UPDATE oauth_storage.client
SET
    updated_at = CASE
        WHEN (disabled_at IS NULL) = $2 THEN statement_timestamp()
        ELSE updated_at
    END,
    disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, statement_timestamp()) END
WHERE client_id = $1 AND deleted_at IS NULL
