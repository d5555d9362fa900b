-- Device grants (RFC 8628), by the digest of the device code, and by the keyed hash of the user code.
CREATE TABLE oauth_as.device_grant (
    expires_at  bigint NOT NULL,
    digest      uuid   NOT NULL,
    digest_tail uuid   NOT NULL,
    user_code   uuid   NOT NULL,
    client      uuid   NOT NULL,
    subject     uuid,
    state       "char" NOT NULL,
    document    bytea  NOT NULL,
    sealed      bytea  NOT NULL,

    CONSTRAINT device_grant_pkey PRIMARY KEY (digest),
    CONSTRAINT device_grant_user_code UNIQUE (user_code),
    CONSTRAINT device_grant_state CHECK (state IN ('p', 'a', 'd'))
) WITH (
    fillfactor = 80,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The cascades of a deleted client and of a withdrawn consent.
CREATE INDEX device_grant_client ON oauth_as.device_grant (client, subject);
-- The sweep.
CREATE INDEX device_grant_expires_at ON oauth_as.device_grant (expires_at);

COMMENT ON TABLE oauth_as.device_grant IS
    'Device grants.';
COMMENT ON COLUMN oauth_as.device_grant.expires_at IS
    'Expiry in nanoseconds since 1970, by the caller''s clock; the sweep removes the row then.';
COMMENT ON COLUMN oauth_as.device_grant.digest IS
    'First half of the SHA-256 of the device code, the key.';
COMMENT ON COLUMN oauth_as.device_grant.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_as.device_grant.user_code IS
    'The HMAC of the normalized user code under the sealing key: a plain hash of so short a code can be guessed.';
COMMENT ON COLUMN oauth_as.device_grant.client IS
    'The hash of the client identifier.';
COMMENT ON COLUMN oauth_as.device_grant.subject IS
    'The hash of the subject that approved; null otherwise.';
COMMENT ON COLUMN oauth_as.device_grant.state IS
    'p: pending; a: approved; d: denied.';
COMMENT ON COLUMN oauth_as.device_grant.document IS
    'The record as JSON, without the two codes.';
COMMENT ON COLUMN oauth_as.device_grant.sealed IS
    'The two codes (JSON), sealed.';
