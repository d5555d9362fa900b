-- Polls device authorizations, a batch at once. One row for each that exists and is of the client that polls.
WITH device AS MATERIALIZED (
    SELECT
        input.position, device.digest, device.state, device.expires_at <= statement_timestamp() AS expired,
        -- A fifth of the interval is left to the network.
        coalesce(
            device.polled_at + device.poll_interval::float8 * interval '0.8 seconds' > statement_timestamp(), false
        ) AS too_early
    FROM UNNEST($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS input (digest, tail, client_id, position)
    JOIN oauth_storage.device_authorization AS device ON device.digest = input.digest
        AND device.digest_tail = input.tail
        AND device.client_id = input.client_id
    ORDER BY device.digest
    FOR UPDATE OF device
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
    position AS "position!",
    CASE
        WHEN expired THEN 'expired'
        WHEN state = 'd' THEN 'denied'
        WHEN state = 'a' THEN 'approved'
        WHEN too_early THEN 'slow_down'
        ELSE 'pending'
    END AS "outcome!"
FROM device
