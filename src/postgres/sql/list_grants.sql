-- The live grants of a subject, the newest first, and the last grant of the scan where it reached its
-- bound ($3): the page ends there. The scan stops as soon as the page ($4) is full.
--
-- Rows are compared for the reason that scan_grants_of_subject.sql gives.
SELECT
    position = $3 AS "is_bound!", live AS "live!", grant_id AS "grant_id!",
    client_id AS "client_id!", subject, scope AS "scope!", granted_at AS "granted_at!",
    expires_at AS "expires_at!", false AS "revoked!", false AS "expired!",
    context::text AS context
FROM (
    SELECT
        row_number() OVER (ORDER BY subject_hash DESC, grant_id DESC) AS position,
        subject = $1 AND revoked_at IS NULL AND expires_at > statement_timestamp() AS live,
        scanned.*
    FROM (
        SELECT hashtextextended(subject, 0::bigint) AS subject_hash, authorization_grant.*
        FROM oauth_storage.authorization_grant
        WHERE subject IS NOT NULL
            AND (hashtextextended(subject, 0::bigint), grant_id) < (
                (SELECT hashtextextended($1, 0::bigint)),
                coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
            )
            AND (hashtextextended(subject, 0::bigint), grant_id) >= (
                (SELECT hashtextextended($1, 0::bigint)), '00000000-0000-0000-0000-000000000000'
            )
        ORDER BY subject_hash DESC, grant_id DESC
        LIMIT $3
    ) AS scanned
) AS numbered
WHERE live OR position = $3
ORDER BY subject_hash DESC, grant_id DESC
LIMIT $4
