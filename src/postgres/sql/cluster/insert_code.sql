-- Stores a code on the shard of its grant.
INSERT INTO oauth_storage.authorization_code (
    issued_at, expires_at, grant_id, digest, digest_tail, response_type, redirect_uri,
    code_challenge
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
