-- The sessions whose sign-out was interrupted: no call that ended them is running any more.
-- In any order, so that one that cannot be finished does not always come first.
SELECT sid
FROM (
    SELECT sid
    FROM oauth_storage.user_session
    WHERE ended_at <= statement_timestamp() - interval '10 minutes'
    ORDER BY ended_at
    LIMIT $1
) AS oldest
ORDER BY random()
