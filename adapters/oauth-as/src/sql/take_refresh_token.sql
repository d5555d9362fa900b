DELETE FROM oauth_as.refresh_token WHERE digest = $1 AND digest_tail = $2 RETURNING document, sealed
