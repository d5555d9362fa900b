UPDATE oauth_as.authorization_code SET
    client = $3,
    subject = $4,
    expires_at = $5,
    state = $6,
    document = $7,
    sealed = $8
WHERE digest = $1 AND digest_tail = $2 AND state = $9
