SELECT document, sealed FROM oauth_as.client WHERE client = $1
