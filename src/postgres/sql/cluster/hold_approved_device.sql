-- Locks an approved device authorization and returns its grant.
SELECT grant_id
FROM oauth_storage.device_authorization
WHERE digest = $1 AND digest_tail = $2 AND client_id = $3 AND state = 'a' AND expires_at > statement_timestamp()
FOR UPDATE
