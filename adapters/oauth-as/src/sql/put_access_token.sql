INSERT INTO oauth_as.access_token
    (digest, digest_tail, client, subject, family, expires_at, document)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE NOT oauth_as.is_revoked($3, $8, $5, $9)
ON CONFLICT (digest) DO UPDATE SET
    digest_tail = excluded.digest_tail,
    client = excluded.client,
    subject = excluded.subject,
    family = excluded.family,
    expires_at = excluded.expires_at,
    document = excluded.document
