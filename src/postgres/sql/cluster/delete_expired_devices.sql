-- Deletes up to $1 expired device authorizations, and returns their grants.
DELETE FROM oauth_storage.device_authorization
WHERE ctid = ANY (ARRAY (
    SELECT ctid
    FROM oauth_storage.device_authorization
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
RETURNING grant_id
