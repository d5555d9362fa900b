INSERT INTO oauth_as.authorization_code
    (digest, digest_tail, client, subject, expires_at, state, document, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (digest) DO UPDATE SET
    digest_tail = excluded.digest_tail,
    client = excluded.client,
    subject = excluded.subject,
    expires_at = excluded.expires_at,
    state = excluded.state,
    document = excluded.document,
    sealed = excluded.sealed
