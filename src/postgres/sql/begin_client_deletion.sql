-- Disables a client for good. lock_out_client.sql follows. The time names this deletion: another
-- registration of the same identifier has another.
UPDATE oauth_storage.client
SET
    deleted_at = coalesce(deleted_at, clock_timestamp()),
    disabled_at = coalesce(disabled_at, clock_timestamp()),
    updated_at = statement_timestamp()
WHERE client_id = $1
RETURNING deleted_at AS "deleted_at!"
