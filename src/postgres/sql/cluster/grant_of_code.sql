-- The grant of a code that names none. Asks every shard.
SELECT grant_id FROM oauth_storage.authorization_code WHERE digest = $1 AND digest_tail = $2
