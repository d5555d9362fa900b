-- Polls a device authorization, and locks it. The caller issues the tokens of one that is approved.
WITH device AS MATERIALIZED (
    SELECT
        digest, grant_id, state, expires_at <= statement_timestamp() AS expired,
        coalesce(polled_at + poll_interval::float8 * interval '0.8 seconds' > statement_timestamp(), false) AS too_early
    FROM oauth_storage.device_authorization
    WHERE digest = $1 AND digest_tail = $2 AND client_id = $3
    FOR UPDATE
), polled AS (
    UPDATE oauth_storage.device_authorization AS row
    SET
        polled_at = statement_timestamp(),
        poll_interval = CASE
            WHEN device.too_early THEN least(row.poll_interval + 5, 60)
            ELSE row.poll_interval
        END
    FROM device
    WHERE row.digest = device.digest AND device.state = 'p' AND NOT device.expired
)
SELECT
    grant_id,
    CASE
        WHEN expired THEN 'expired'
        WHEN state = 'd' THEN 'denied'
        WHEN state = 'a' THEN 'approved'
        WHEN too_early THEN 'slow_down'
        ELSE 'pending'
    END AS "outcome!"
FROM device
