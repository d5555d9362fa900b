UPDATE oauth_as.client SET document = $2, sealed = $3
WHERE client = $1 AND document = $4 AND sealed IS NOT DISTINCT FROM $5
