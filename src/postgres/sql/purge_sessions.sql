-- Deletes up to $1 expired sessions, except those whose sign-out is unfinished. Locked rows stay for a
-- later batch.
DELETE FROM oauth_storage.user_session
WHERE ctid = ANY (ARRAY (
    SELECT ctid
    FROM oauth_storage.user_session
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
        AND ended_at IS NULL
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
