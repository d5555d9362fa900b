INSERT INTO oauth_as.replay_id (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING
