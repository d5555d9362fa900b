-- The grants of the oldest expired tokens and codes, at most so many of each.
(
    SELECT grant_id AS "grant_id!", true AS "of_token!"
    FROM oauth_storage.token
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
)
UNION ALL
(
    SELECT grant_id, false
    FROM oauth_storage.authorization_code
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
)
