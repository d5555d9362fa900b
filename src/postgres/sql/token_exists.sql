-- Tells whether a token of this digest is stored, in whatever state.
SELECT EXISTS (
    SELECT FROM oauth_storage.token WHERE digest = $1 AND digest_tail = $2
) AS "exists!"
