SELECT document FROM oauth_as.consent WHERE client = $1 AND subject = $2
