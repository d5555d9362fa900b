-- Deletes sessions that are marked as ended, and returns those that this statement deleted: each is
-- returned once.
WITH held AS MATERIALIZED (
    SELECT sid
    FROM oauth_storage.user_session
    WHERE sid = ANY ($1::uuid[]) AND ended_at IS NOT NULL
    ORDER BY sid
    FOR UPDATE
)
DELETE FROM oauth_storage.user_session
WHERE sid = ANY (ARRAY (SELECT sid FROM held))
RETURNING sid
