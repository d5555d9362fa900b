-- The hash of a client's registration access token, if the client is enabled.
SELECT registration_access_token_hash AS "hash!"
FROM oauth_storage.client
WHERE client_id = $1
    AND registration_access_token_hash IS NOT NULL
    AND disabled_at IS NULL
    AND coalesce(expires_at > statement_timestamp(), true)
