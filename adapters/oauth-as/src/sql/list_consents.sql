SELECT document FROM oauth_as.consent WHERE subject = $1
