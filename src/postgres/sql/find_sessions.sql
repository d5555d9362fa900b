-- Live sessions by digest, and whether the idle end of each is due to be moved: by a tenth of the idle
-- time-out at least, or to the absolute end.
SELECT
    input.position AS "position!", session.sid, session.subject, session.created_at,
    session.authenticated_at, session.expires_at, session.absolute_expires_at, session.acr,
    session.amr::text AS amr, session.details::text AS details,
    coalesce(
        session.expires_at < session.absolute_expires_at
        AND statement_timestamp() + session.idle_timeout
            >= least(session.expires_at + session.idle_timeout * 0.1::float8, session.absolute_expires_at),
        false
    ) AS "is_due!"
FROM UNNEST($1::uuid[], $2::uuid[]) WITH ORDINALITY AS input (digest, tail, position)
JOIN oauth_storage.user_session AS session ON session.digest = input.digest
    AND session.digest_tail = input.tail
    AND session.ended_at IS NULL
    AND session.expires_at > statement_timestamp()
