-- Marks a session as ended, by its digest, or says again that it is. Waits for the statement that stores a
-- code for the session, and no later one does.
UPDATE oauth_storage.user_session
SET
    ended_at = statement_timestamp(),
    expires_at = least(expires_at, statement_timestamp())
WHERE digest = $1 AND digest_tail = $2
RETURNING sid, subject, client_ids
