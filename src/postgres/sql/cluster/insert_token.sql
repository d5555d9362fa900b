-- Stores a token on the shard of its grant.
INSERT INTO oauth_storage.token (
    issued_at, expires_at, grant_id, kind, digest, digest_tail, scope
)
VALUES ($1, $2, $3, $4::text::"char", $5, $6, $7)
