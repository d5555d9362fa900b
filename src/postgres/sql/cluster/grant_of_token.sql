-- The grant of a token that names none. Asks every shard.
SELECT grant_id FROM oauth_storage.token WHERE digest = $1 AND digest_tail = $2
