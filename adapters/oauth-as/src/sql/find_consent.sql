SELECT document FROM oauth_as.consent WHERE consent = $1
