-- Marks the next sessions of a subject, but one ($2), as ended, as end_session.sql does. One row for each
-- that was scanned, in the order of their identifiers.
--
-- Rows are compared for the reason that scan_grants_of_subject.sql gives. A join with the scan instead of the
-- arrays would read the whole table.
WITH scanned AS MATERIALIZED (
    SELECT sid, subject = $1 AND sid IS DISTINCT FROM $2 AS matches
    FROM oauth_storage.user_session
    WHERE (hashtextextended(subject, 0::bigint), sid) > ((SELECT hashtextextended($1, 0::bigint)), $3)
        AND (hashtextextended(subject, 0::bigint), sid) <= (
            (SELECT hashtextextended($1, 0::bigint)), 'ffffffff-ffff-ffff-ffff-ffffffffffff'
        )
    ORDER BY hashtextextended(subject, 0::bigint), sid
    LIMIT $4
), held AS MATERIALIZED (
    SELECT sid
    FROM oauth_storage.user_session
    WHERE sid = ANY (ARRAY (SELECT sid FROM scanned WHERE matches))
    ORDER BY sid
    FOR NO KEY UPDATE
), ended AS (
    UPDATE oauth_storage.user_session
    SET
        ended_at = statement_timestamp(),
        expires_at = least(expires_at, statement_timestamp())
    WHERE sid = ANY (ARRAY (SELECT sid FROM held))
    RETURNING sid, client_ids
)
SELECT scanned.sid AS "sid!", ended.client_ids AS "client_ids?"
FROM scanned
LEFT JOIN ended ON ended.sid = scanned.sid
ORDER BY scanned.sid
