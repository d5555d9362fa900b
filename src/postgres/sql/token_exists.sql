-- True if a token of this digest is stored, in any state.
SELECT count(*) > 0 AS "exists!"
FROM oauth_storage.token
WHERE digest = $1 AND digest_tail = $2
