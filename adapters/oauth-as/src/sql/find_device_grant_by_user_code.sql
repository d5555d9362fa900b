SELECT document, sealed, digest, digest_tail FROM oauth_as.device_grant WHERE user_code = ANY ($1)
