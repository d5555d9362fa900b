-- Stores new sessions, a batch at once. One row for each, with its times.
INSERT INTO oauth_storage.user_session (
    created_at, authenticated_at, expires_at, absolute_expires_at, lifetime, idle_timeout, sid, digest,
    digest_tail, subject, acr, amr, details
)
SELECT
    statement_timestamp(),
    -- A time that another clock has given is not later than now.
    least(auth_time, statement_timestamp()),
    statement_timestamp() + least(lifetime, idle_timeout)::float8 * interval '1 microsecond',
    statement_timestamp() + lifetime::float8 * interval '1 microsecond',
    lifetime::float8 * interval '1 microsecond', idle_timeout::float8 * interval '1 microsecond',
    sid, digest, digest_tail, subject, acr, amr::jsonb, details::jsonb
FROM UNNEST(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
    $8::text[], $9::bigint[], $10::bigint[]
) AS input (
    sid, digest, digest_tail, subject, auth_time, acr, amr, details, lifetime, idle_timeout
)
ORDER BY digest
RETURNING sid, created_at, authenticated_at, expires_at, absolute_expires_at
