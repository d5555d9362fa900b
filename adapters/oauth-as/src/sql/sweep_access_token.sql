DELETE FROM oauth_as.access_token WHERE expires_at <= $1 AND digest IN (
    SELECT digest FROM oauth_as.access_token WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
