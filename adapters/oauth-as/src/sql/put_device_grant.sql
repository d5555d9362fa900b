INSERT INTO oauth_as.device_grant
    (digest, digest_tail, user_code, client, subject, state, expires_at, document, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (digest) DO UPDATE SET
    digest_tail = excluded.digest_tail,
    user_code = excluded.user_code,
    client = excluded.client,
    subject = excluded.subject,
    state = excluded.state,
    expires_at = excluded.expires_at,
    document = excluded.document,
    sealed = excluded.sealed
