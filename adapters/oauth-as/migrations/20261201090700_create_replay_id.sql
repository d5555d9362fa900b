-- Identifiers that were used once: jti of client assertions (RFC 7523) and DPoP proofs (RFC 9449).
CREATE TABLE oauth_as.replay_id (
    expires_at bigint NOT NULL,
    digest     uuid   NOT NULL,

    CONSTRAINT replay_id_pkey PRIMARY KEY (digest)
) WITH (
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The sweep.
CREATE INDEX replay_id_expires_at ON oauth_as.replay_id (expires_at);

COMMENT ON TABLE oauth_as.replay_id IS
    'Replay identifiers that were claimed.';
COMMENT ON COLUMN oauth_as.replay_id.expires_at IS
    'The end of the claim in nanoseconds since 1970, by the caller''s clock; the sweep removes the row then.';
COMMENT ON COLUMN oauth_as.replay_id.digest IS
    'First half of the SHA-256 of the identifier.';
