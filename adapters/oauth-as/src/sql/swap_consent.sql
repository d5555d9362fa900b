UPDATE oauth_as.consent SET consent = $1, document = $4
WHERE client = $2 AND subject = $3 AND document = $5
