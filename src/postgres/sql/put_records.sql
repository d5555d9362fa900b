-- Puts records, a batch at once. One row for each that was put: it is new, or takes the place of an expired
-- one. No two calls have the same digest.
INSERT INTO oauth_storage.record (expires_at, kind, digest, digest_tail, client_id, value)
SELECT
    statement_timestamp() + expires_in::float8 * interval '1 microsecond', kind::"char", digest,
    digest_tail, client_id, value::jsonb
FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[])
    AS input (kind, digest, digest_tail, client_id, value, expires_in)
ORDER BY digest
ON CONFLICT (digest) DO UPDATE
SET
    expires_at = excluded.expires_at,
    version = 0,
    kind = excluded.kind,
    digest_tail = excluded.digest_tail,
    client_id = excluded.client_id,
    value = excluded.value
WHERE record.expires_at <= statement_timestamp()
RETURNING digest
