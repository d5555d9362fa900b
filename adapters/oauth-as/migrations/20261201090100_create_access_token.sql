-- Issued access tokens, by digest.
CREATE TABLE oauth_as.access_token (
    expires_at  bigint NOT NULL,
    digest      uuid   NOT NULL,
    digest_tail uuid   NOT NULL,
    client      uuid   NOT NULL,
    subject     uuid,
    family      uuid,
    document    bytea  NOT NULL,

    CONSTRAINT access_token_pkey PRIMARY KEY (digest)
) WITH (
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The cascades of a deleted client and of a withdrawn consent.
CREATE INDEX access_token_client ON oauth_as.access_token (client, subject);
-- The cascade of a token family.
CREATE INDEX access_token_family ON oauth_as.access_token (family) WHERE family IS NOT NULL;
-- The sweep.
CREATE INDEX access_token_expires_at ON oauth_as.access_token (expires_at);

COMMENT ON TABLE oauth_as.access_token IS
    'Issued access tokens.';
COMMENT ON COLUMN oauth_as.access_token.expires_at IS
    'Expiry in nanoseconds since 1970, by the caller''s clock; the sweep removes the row then.';
COMMENT ON COLUMN oauth_as.access_token.digest IS
    'First half of the SHA-256 of the token, the key; the token itself is stored nowhere.';
COMMENT ON COLUMN oauth_as.access_token.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_as.access_token.client IS
    'The hash of the client identifier.';
COMMENT ON COLUMN oauth_as.access_token.subject IS
    'The hash of the subject; null without a resource owner.';
COMMENT ON COLUMN oauth_as.access_token.family IS
    'The hash of the token family; null without one.';
COMMENT ON COLUMN oauth_as.access_token.document IS
    'The record as JSON, without the token.';
