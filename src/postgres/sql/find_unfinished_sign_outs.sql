-- The sessions whose sign-out was interrupted: the call that ended them is not running any more.
SELECT sid
FROM oauth_storage.user_session
WHERE ended_at <= statement_timestamp() - interval '1 minute'
ORDER BY ended_at
LIMIT $1
