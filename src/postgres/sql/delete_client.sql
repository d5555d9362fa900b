-- Ends the deletion of a client, whose grants are gone by now.
WITH deleted AS (
    DELETE FROM oauth_storage.client
    WHERE client_id = $1 AND deleted_at = $2
    RETURNING client_id
)
DELETE FROM oauth_storage.client_lock AS row
USING deleted
WHERE row.client_id = deleted.client_id
