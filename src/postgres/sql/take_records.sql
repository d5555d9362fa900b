-- Deletes records that a batch takes, and returns them: of a client ($3), or of none. One row for each
-- that had not expired.
WITH taken AS MATERIALIZED (
    -- A statement that waited for the lock finds the row deleted, so exactly one request takes it.
    SELECT input.position, record.digest, record.value, record.version, record.expires_at
    FROM UNNEST($1::uuid[], $2::uuid[], $3::text[])
        WITH ORDINALITY AS input (digest, tail, client_id, position)
    JOIN oauth_storage.record ON record.digest = input.digest
        AND record.digest_tail = input.tail
        AND record.client_id IS NOT DISTINCT FROM input.client_id
        AND record.expires_at > statement_timestamp()
    ORDER BY record.digest
    FOR UPDATE OF record
), deleted AS (
    DELETE FROM oauth_storage.record AS row
    USING taken
    WHERE row.digest = taken.digest
)
SELECT position AS "position!", value::text AS value, version AS "version!", expires_at AS "expires_at!"
FROM taken
