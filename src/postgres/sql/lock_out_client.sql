-- Makes the lock row of a client follow client.disabled_at. If the client is disabled, this waits for
-- every statement that issues to it; new ones stay away since disabled_at was set.
WITH current AS MATERIALIZED (
    SELECT client_id, disabled_at IS NOT NULL AS disabled
    FROM oauth_storage.client
    WHERE client_id = $1
    FOR NO KEY UPDATE
)
UPDATE oauth_storage.client_lock AS row
SET disabled = current.disabled
FROM current
WHERE row.client_id = current.client_id
