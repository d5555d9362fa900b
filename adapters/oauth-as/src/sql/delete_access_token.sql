DELETE FROM oauth_as.access_token WHERE digest = $1 AND digest_tail = $2
