-- Deletes the next sessions of a subject. One row for each that was scanned, in the order of their
-- identifiers. Waits for the statement that stores a code for one of them, and no later one does.
--
-- Rows are compared for the reason that scan_grants_of_subject.sql gives, and arrays are used for that of
-- end_sessions_of.sql.
WITH scanned AS MATERIALIZED (
    SELECT sid, subject = $1 AS matches
    FROM oauth_storage.user_session
    WHERE (hashtextextended(subject, 0::bigint), sid) > ((SELECT hashtextextended($1, 0::bigint)), $2)
        AND (hashtextextended(subject, 0::bigint), sid) <= (
            (SELECT hashtextextended($1, 0::bigint)), 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        )
    ORDER BY hashtextextended(subject, 0::bigint), sid
    LIMIT $3
), held AS MATERIALIZED (
    SELECT sid
    FROM oauth_storage.user_session
    WHERE sid = ANY (ARRAY (SELECT sid FROM scanned WHERE matches))
    ORDER BY sid
    FOR UPDATE
), erased AS (
    DELETE FROM oauth_storage.user_session
    WHERE sid = ANY (ARRAY (SELECT sid FROM held))
)
SELECT sid AS "sid!" FROM scanned ORDER BY sid
