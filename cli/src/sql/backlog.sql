-- What the purge, and calls that were interrupted, have left. Expired rows are found by the index of the purge, which
-- has the time in steps of ten seconds, and counted up to $1.
SELECT
    'token' AS "table!",
    (SELECT min(date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'))
        FROM oauth_storage.token) AS oldest,
    (SELECT count(*) FROM (
        SELECT FROM oauth_storage.token
        WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= now()
        LIMIT $1
    ) AS expired) AS "expired!"
UNION ALL
SELECT
    'authorization_code' AS "table!",
    (SELECT min(date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'))
        FROM oauth_storage.authorization_code) AS oldest,
    (SELECT count(*) FROM (
        SELECT FROM oauth_storage.authorization_code
        WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= now()
        LIMIT $1
    ) AS expired) AS "expired!"
UNION ALL
SELECT
    'device_authorization' AS "table!",
    (SELECT min(date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'))
        FROM oauth_storage.device_authorization) AS oldest,
    (SELECT count(*) FROM (
        SELECT FROM oauth_storage.device_authorization
        WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= now()
        LIMIT $1
    ) AS expired) AS "expired!"
UNION ALL
SELECT
    'record' AS "table!",
    (SELECT min(date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'))
        FROM oauth_storage.record) AS oldest,
    (SELECT count(*) FROM (
        SELECT FROM oauth_storage.record
        WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= now()
        LIMIT $1
    ) AS expired) AS "expired!"
UNION ALL
SELECT
    'user_session' AS "table!",
    (SELECT min(date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'))
        FROM oauth_storage.user_session) AS oldest,
    (SELECT count(*) FROM (
        SELECT FROM oauth_storage.user_session
        WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= now()
        LIMIT $1
    ) AS expired) AS "expired!"
