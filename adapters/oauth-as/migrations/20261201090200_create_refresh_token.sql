-- Refresh tokens, by digest. A spent one is kept until its expiry, so that its reuse is recognized.
CREATE TABLE oauth_as.refresh_token (
    expires_at  bigint,
    digest      uuid   NOT NULL,
    digest_tail uuid   NOT NULL,
    client      uuid   NOT NULL,
    subject     uuid,
    family      uuid   NOT NULL,
    document    bytea  NOT NULL,
    sealed      bytea,

    CONSTRAINT refresh_token_pkey PRIMARY KEY (digest)
) WITH (
    fillfactor = 80,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The cascades of a deleted client and of a withdrawn consent.
CREATE INDEX refresh_token_client ON oauth_as.refresh_token (client, subject);
-- The cascade of a token family.
CREATE INDEX refresh_token_family ON oauth_as.refresh_token (family);
-- The sweep.
CREATE INDEX refresh_token_expires_at ON oauth_as.refresh_token (expires_at)
    WHERE expires_at IS NOT NULL;

COMMENT ON TABLE oauth_as.refresh_token IS
    'Refresh tokens, active and spent.';
COMMENT ON COLUMN oauth_as.refresh_token.expires_at IS
    'Expiry in nanoseconds since 1970, by the caller''s clock; null for a chain without an end.';
COMMENT ON COLUMN oauth_as.refresh_token.digest IS
    'First half of the SHA-256 of the token, the key; the token itself is stored nowhere.';
COMMENT ON COLUMN oauth_as.refresh_token.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_as.refresh_token.client IS
    'The hash of the client identifier.';
COMMENT ON COLUMN oauth_as.refresh_token.subject IS
    'The hash of the subject; null without a resource owner.';
COMMENT ON COLUMN oauth_as.refresh_token.family IS
    'The hash of the token family.';
COMMENT ON COLUMN oauth_as.refresh_token.document IS
    'The record as JSON, without the token and without the response that is kept for a retry.';
COMMENT ON COLUMN oauth_as.refresh_token.sealed IS
    'The token response that is kept for a retry (JSON), sealed; only the holder of the token can open it.';
