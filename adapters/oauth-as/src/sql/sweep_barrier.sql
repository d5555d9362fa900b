DELETE FROM oauth_as.barrier WHERE expires_at <= $1 AND scope IN (
    SELECT scope FROM oauth_as.barrier WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
