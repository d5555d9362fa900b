INSERT INTO oauth_as.pushed_request (digest, digest_tail, client, expires_at, document)
SELECT $1, $2, $3, $4, $5
WHERE NOT oauth_as.is_revoked($3, NULL, NULL, $6)
ON CONFLICT (digest) DO UPDATE SET
    digest_tail = excluded.digest_tail,
    client = excluded.client,
    expires_at = excluded.expires_at,
    document = excluded.document
