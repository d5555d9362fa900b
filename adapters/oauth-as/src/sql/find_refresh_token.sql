SELECT document, sealed FROM oauth_as.refresh_token WHERE digest = $1 AND digest_tail = $2
