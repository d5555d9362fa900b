-- Marks a session of a subject as ended, as end_session.sql does.
UPDATE oauth_storage.user_session
SET
    ended_at = statement_timestamp(),
    expires_at = least(expires_at, statement_timestamp())
WHERE sid = $1 AND subject = $2
RETURNING sid, subject, client_ids
