UPDATE oauth_as.device_grant SET
    user_code = $3,
    client = $4,
    subject = $5,
    state = $6,
    expires_at = $7,
    document = $8,
    sealed = $9
WHERE digest = $1 AND digest_tail = $2 AND state = $10 AND subject IS NOT DISTINCT FROM $11
