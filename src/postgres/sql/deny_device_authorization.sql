-- Denies a pending device authorization.
UPDATE oauth_storage.device_authorization
SET state = 'd'
WHERE user_code_digest = $1 AND grant_id = $2 AND state = 'p' AND expires_at > statement_timestamp()
