-- True if a code that fits its request was spent.
SELECT count(*) > 0 AS "exists!"
FROM oauth_storage.authorization_code
WHERE grant_id = $1
    AND digest = $2
    AND digest_tail = $3
    AND redirect_uri = $4
    AND code_challenge IS NOT DISTINCT FROM $5
    AND expires_at > $6
    AND consumed_at IS NOT NULL
