-- Marks a refresh token as rotated.
UPDATE oauth_storage.token
SET rotated_at = $4
WHERE grant_id = $1 AND digest = $2 AND digest_tail = $3 AND rotated_at IS NULL
