-- Gives live sessions a new secret and a new authentication of the same subject, a batch at once. One row
-- for each. The lifetimes begin again.
WITH held AS MATERIALIZED (
    -- A statement that waited for the lock evaluates the conditions again, so one of several with the same
    -- secret finds the session.
    SELECT input.*, session.sid
    FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[], $7::text[],
        $8::text[]
    ) WITH ORDINALITY AS input (
        digest, tail, new_digest, new_tail, subject, auth_time, acr, amr, position
    )
    JOIN oauth_storage.user_session AS session ON session.digest = input.digest
        AND session.digest_tail = input.tail
        AND session.subject = input.subject
        AND session.ended_at IS NULL
        AND session.expires_at > statement_timestamp()
    ORDER BY session.sid
    FOR UPDATE OF session
)
UPDATE oauth_storage.user_session AS row
SET
    authenticated_at = least(held.auth_time, statement_timestamp()),
    expires_at = statement_timestamp() + least(row.lifetime, row.idle_timeout),
    absolute_expires_at = statement_timestamp() + row.lifetime,
    digest = held.new_digest,
    digest_tail = held.new_tail,
    acr = held.acr,
    amr = held.amr::jsonb
FROM held
WHERE row.sid = held.sid
RETURNING
    held.position AS "position!", row.sid, row.subject, row.created_at, row.authenticated_at, row.expires_at,
    row.absolute_expires_at, row.acr, row.amr::text AS amr, row.details::text AS details,
    false AS "is_due!"
