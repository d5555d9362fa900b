-- Pushed authorization requests (RFC 9126), by the digest of their request_uri.
CREATE TABLE oauth_as.pushed_request (
    expires_at  bigint NOT NULL,
    digest      uuid   NOT NULL,
    digest_tail uuid   NOT NULL,
    client      uuid   NOT NULL,
    document    bytea  NOT NULL,

    CONSTRAINT pushed_request_pkey PRIMARY KEY (digest)
) WITH (
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The cascade of a deleted client.
CREATE INDEX pushed_request_client ON oauth_as.pushed_request (client);
-- The sweep.
CREATE INDEX pushed_request_expires_at ON oauth_as.pushed_request (expires_at);

COMMENT ON TABLE oauth_as.pushed_request IS
    'Pushed authorization requests.';
COMMENT ON COLUMN oauth_as.pushed_request.expires_at IS
    'Expiry in nanoseconds since 1970, by the caller''s clock; the sweep removes the row then.';
COMMENT ON COLUMN oauth_as.pushed_request.digest IS
    'First half of the SHA-256 of the request_uri, the key; the request_uri itself is stored nowhere.';
COMMENT ON COLUMN oauth_as.pushed_request.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_as.pushed_request.client IS
    'The hash of the client identifier.';
COMMENT ON COLUMN oauth_as.pushed_request.document IS
    'The record as JSON, without the request_uri.';
