-- True if this deletion of a client is not finished.
SELECT EXISTS (
    SELECT FROM oauth_storage.client WHERE client_id = $1 AND deleted_at = $2
) AS "exists!"
