INSERT INTO oauth_as.refresh_token
    (digest, digest_tail, client, subject, family, expires_at, document, sealed)
SELECT $1, $2, $3, $4, $5, $6, $7, $8
WHERE NOT oauth_as.is_revoked($3, $9, $5, $10)
ON CONFLICT (digest) DO UPDATE SET
    digest_tail = excluded.digest_tail,
    client = excluded.client,
    subject = excluded.subject,
    family = excluded.family,
    expires_at = excluded.expires_at,
    document = excluded.document,
    sealed = excluded.sealed
