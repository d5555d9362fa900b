-- Moves the idle ends of sessions in use, where find_sessions.sql says that it is due. A locked row is left
-- for the next use. One row for each session that was changed.
WITH due AS MATERIALIZED (
    SELECT sid
    FROM oauth_storage.user_session
    WHERE sid = ANY ($1::uuid[])
        AND ended_at IS NULL
        AND expires_at > statement_timestamp()
        AND expires_at < absolute_expires_at
        AND statement_timestamp() + idle_timeout
            >= least(expires_at + idle_timeout * 0.1::float8, absolute_expires_at)
    ORDER BY sid
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE oauth_storage.user_session AS row
SET expires_at = least(statement_timestamp() + row.idle_timeout, row.absolute_expires_at)
FROM due
WHERE row.sid = due.sid
RETURNING row.sid, row.expires_at
