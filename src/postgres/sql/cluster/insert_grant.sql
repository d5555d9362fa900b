-- Stores a grant on its shard.
INSERT INTO oauth_storage.authorization_grant (
    granted_at, expires_at, refresh_expires_at, grant_id, client_id, subject, scope, context
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb)
