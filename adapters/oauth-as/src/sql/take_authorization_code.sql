DELETE FROM oauth_as.authorization_code WHERE digest = $1 AND digest_tail = $2 RETURNING document, sealed
