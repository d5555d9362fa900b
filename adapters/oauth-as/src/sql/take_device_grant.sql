DELETE FROM oauth_as.device_grant WHERE digest = $1 AND digest_tail = $2 RETURNING document, sealed
