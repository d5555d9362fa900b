-- The live sessions of a subject, the newest first, and the last session of the scan where it reached its
-- bound ($3): the page ends there. The scan stops as soon as the page ($4) is full.
--
-- Rows are compared for the reason that scan_grants_of_subject.sql gives.
SELECT
    position = $3 AS "is_bound!", live AS "live!", sid AS "sid!", subject AS "subject!",
    created_at AS "created_at!", authenticated_at AS "authenticated_at!", expires_at AS "expires_at!",
    absolute_expires_at AS "absolute_expires_at!", acr, amr::text AS amr, details::text AS details
FROM (
    SELECT
        row_number() OVER (ORDER BY subject_hash DESC, sid DESC) AS position,
        subject = $1 AND ended_at IS NULL AND expires_at > statement_timestamp() AS live,
        scanned.*
    FROM (
        SELECT hashtextextended(subject, 0::bigint) AS subject_hash, user_session.*
        FROM oauth_storage.user_session
        WHERE (hashtextextended(subject, 0::bigint), sid) < (
                (SELECT hashtextextended($1, 0::bigint)),
                coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
            )
            AND (hashtextextended(subject, 0::bigint), sid) >= (
                (SELECT hashtextextended($1, 0::bigint)), '00000000-0000-0000-0000-000000000000'
            )
        ORDER BY subject_hash DESC, sid DESC
        LIMIT $3
    ) AS scanned
) AS numbered
WHERE live OR position = $3
ORDER BY subject_hash DESC, sid DESC
LIMIT $4
