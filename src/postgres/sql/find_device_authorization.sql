-- Counts an attempt of a guesser ($2, $3), if there is one, and finds the pending authorization with a user
-- code, unless the guesser had more attempts than $4 within the window ($5).
WITH attempt AS (
    -- The row is locked until the commit, so attempts at the same time are all counted.
    INSERT INTO oauth_storage.record (expires_at, version, kind, digest, digest_tail)
    SELECT statement_timestamp() + $5::bigint::float8 * interval '1 microsecond', 1, 'g', $2, $3
    WHERE $2::uuid IS NOT NULL
    ON CONFLICT (digest) DO UPDATE
    SET
        expires_at = CASE
            WHEN record.expires_at > statement_timestamp() THEN record.expires_at
            ELSE excluded.expires_at
        END,
        -- No attempt beyond the limit is counted, so the number cannot overflow.
        version = CASE
            WHEN record.expires_at > statement_timestamp() THEN least(record.version, $4) + 1
            ELSE 1
        END
    RETURNING version > $4 AS is_limited
)
SELECT
    coalesce((SELECT is_limited FROM attempt), false) AS "is_limited!",
    device.grant_id AS "grant_id?", device.client_id AS "client_id?", device.scope AS "scope?", device.context::text AS context,
    device.issued_at AS "issued_at?", device.expires_at AS "expires_at?"
FROM (VALUES (1)) AS one
LEFT JOIN (
    oauth_storage.device_authorization AS device
    JOIN oauth_storage.client ON client.client_id = device.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
        -- Not of an earlier client of the same name.
        AND client.client_id_issued_at <= device.issued_at
) ON device.user_code_digest = $1
    AND device.state = 'p'
    AND device.expires_at > statement_timestamp()
    AND NOT coalesce((SELECT is_limited FROM attempt), false)
