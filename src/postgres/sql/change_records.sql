-- Replaces the values of records that still have the version that was seen, a batch at once. One row for
-- each.
WITH seen AS MATERIALIZED (
    -- A statement that waited for the lock evaluates the conditions again, on the new version of the row.
    SELECT input.position, record.digest, input.value
    FROM UNNEST($1::uuid[], $2::uuid[], $3::integer[], $4::text[])
        WITH ORDINALITY AS input (digest, tail, version, value, position)
    JOIN oauth_storage.record ON record.digest = input.digest
        AND record.digest_tail = input.tail
        AND record.version = input.version
        AND record.expires_at > statement_timestamp()
    ORDER BY record.digest
    FOR UPDATE OF record
), changed AS (
    UPDATE oauth_storage.record AS row
    SET value = seen.value::jsonb, version = row.version + 1
    FROM seen
    WHERE row.digest = seen.digest
)
SELECT position AS "position!" FROM seen
