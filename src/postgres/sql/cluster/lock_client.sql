-- Holds a client that is known and enabled, on the coordinator: whoever disables it waits for this
-- transaction. No row, or the time by which the call decides.
SELECT statement_timestamp() AS "now!"
FROM oauth_storage.client
JOIN oauth_storage.client_lock AS lock USING (client_id)
WHERE client_id = $1 AND client.disabled_at IS NULL AND NOT lock.disabled
FOR SHARE OF lock
