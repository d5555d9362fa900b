-- The time by which a call decides; no row for a client that is unknown or disabled.
SELECT statement_timestamp() AS "now!"
FROM oauth_storage.client
WHERE client_id = $1 AND disabled_at IS NULL
    AND coalesce(expires_at > statement_timestamp(), true)
