-- Makes the next key of an issuer ($1) and an algorithm ($2) the active one, if it is due: after the period
-- of the active key ($3), and after its own announcement ($4). The key before is retired, and leaves the JWK
-- set after the announcement and the retention ($5).
WITH locked AS MATERIALIZED (
    -- A statement that waited here sees the keys as the one before has left them.
    SELECT kid, state, created_at, activated_at
    FROM oauth_storage.signing_key
    WHERE issuer = $1 AND alg = $2 AND state IN ('a', 'n')
    ORDER BY kid
    FOR UPDATE
), following AS MATERIALIZED (
    SELECT
        next.kid,
        CASE
            WHEN active.kid IS NOT NULL THEN greatest(
                active.activated_at + $3::bigint::float8 * interval '1 microsecond',
                next.created_at + $4::bigint::float8 * interval '1 microsecond'
            )
            -- Null if the active key was revoked while the lock was awaited: this statement does not see the
            -- key that replaced it.
            WHEN NOT EXISTS (
                SELECT FROM oauth_storage.signing_key
                WHERE issuer = $1 AND alg = $2 AND state = 'a'
            ) THEN next.created_at
        END AS due_at
    FROM locked AS next
    LEFT JOIN locked AS active ON active.state = 'a'
    WHERE next.state = 'n'
), retired AS (
    UPDATE oauth_storage.signing_key AS key
    SET
        state = 'r',
        retired_at = statement_timestamp(),
        expires_at = statement_timestamp()
            + ($4::bigint::float8 + $5::bigint::float8) * interval '1 microsecond'
    FROM locked AS active, following
    WHERE following.due_at <= statement_timestamp()
        AND active.state = 'a'
        AND key.issuer = $1
        AND key.kid = active.kid
    RETURNING 1
), rotated AS (
    -- After the retirement, which it counts: there is one active key at a time.
    UPDATE oauth_storage.signing_key AS key
    SET state = 'a', activated_at = statement_timestamp()
    FROM following, (SELECT count(*) FROM retired) AS after_retirement
    WHERE following.due_at <= statement_timestamp()
        AND key.issuer = $1
        AND key.kid = following.kid
    RETURNING 1
)
SELECT
    EXISTS (SELECT FROM rotated) AS "rotated!",
    (SELECT due_at FROM following) AS due_at
