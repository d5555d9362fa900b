-- Authorization codes, by digest. A consumed one is kept until its expiry, so that a replay is recognized.
CREATE TABLE oauth_as.authorization_code (
    expires_at  bigint NOT NULL,
    digest      uuid   NOT NULL,
    digest_tail uuid   NOT NULL,
    client      uuid   NOT NULL,
    subject     uuid   NOT NULL,
    state       bytea  NOT NULL,
    document    bytea  NOT NULL,
    sealed      bytea,

    CONSTRAINT authorization_code_pkey PRIMARY KEY (digest)
) WITH (
    fillfactor = 80,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The cascades of a deleted client and of a withdrawn consent.
CREATE INDEX authorization_code_client ON oauth_as.authorization_code (client, subject);
-- The sweep.
CREATE INDEX authorization_code_expires_at ON oauth_as.authorization_code (expires_at);

COMMENT ON TABLE oauth_as.authorization_code IS
    'Authorization codes, issued, consumed and replayed.';
COMMENT ON COLUMN oauth_as.authorization_code.expires_at IS
    'Expiry in nanoseconds since 1970, by the caller''s clock; the sweep removes the row then.';
COMMENT ON COLUMN oauth_as.authorization_code.digest IS
    'First half of the SHA-256 of the code, the key; the code itself is stored nowhere.';
COMMENT ON COLUMN oauth_as.authorization_code.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_as.authorization_code.client IS
    'The hash of the client identifier.';
COMMENT ON COLUMN oauth_as.authorization_code.subject IS
    'The hash of the subject.';
COMMENT ON COLUMN oauth_as.authorization_code.state IS
    'The SHA-256 of the state and of the tokens that it names, for compare-and-swap.';
COMMENT ON COLUMN oauth_as.authorization_code.document IS
    'The record as JSON, without the code and without the tokens that it minted.';
COMMENT ON COLUMN oauth_as.authorization_code.sealed IS
    'The state with the tokens that the code minted (JSON), sealed; only the holder of the code can open it.';
