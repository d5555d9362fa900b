-- Signing keys of ID tokens. For each issuer and algorithm one key is active, at most one is next, and the
-- retired ones stay until their last token has expired.
--
-- The private half is encrypted under a key that only the application has. Every row must be opened with that
-- key before it is used or published, so nobody can add a key by writing to the table.
CREATE TABLE oauth_storage.signing_key (
    created_at        timestamptz NOT NULL,
    activated_at      timestamptz,
    retired_at        timestamptz,
    expires_at        timestamptz,
    state             "char"      NOT NULL,
    issuer            text COLLATE "C" NOT NULL,
    kid               text COLLATE "C" NOT NULL,
    alg               text COLLATE "C" NOT NULL,
    encryption_key_id text COLLATE "C" NOT NULL,
    ciphertext        bytea       NOT NULL,

    CONSTRAINT signing_key_pkey PRIMARY KEY (issuer, kid),
    CONSTRAINT signing_key_state CHECK (state IN ('n', 'a', 'r')),
    CONSTRAINT signing_key_active CHECK (state <> 'a' OR activated_at IS NOT NULL),
    CONSTRAINT signing_key_retired CHECK (
        (state = 'r') = (expires_at IS NOT NULL) AND (state = 'r') = (retired_at IS NOT NULL)
    ),
    -- The version of the format. A key in PEM or DER begins with another byte.
    CONSTRAINT signing_key_ciphertext CHECK (
        CASE WHEN octet_length(ciphertext) > 0 THEN get_byte(ciphertext, 0) = 1 ELSE false END
    )
);

-- Of any number of nodes that rotate at the same time one succeeds.
CREATE UNIQUE INDEX signing_key_one_active ON oauth_storage.signing_key (issuer, alg) WHERE state = 'a';
CREATE UNIQUE INDEX signing_key_one_next ON oauth_storage.signing_key (issuer, alg) WHERE state = 'n';

-- The purge scans it from the oldest.
CREATE INDEX signing_key_expires_at ON oauth_storage.signing_key (expires_at) WHERE expires_at IS NOT NULL;

COMMENT ON TABLE oauth_storage.signing_key IS
    'Signing keys of ID tokens, with encrypted private halves.';
COMMENT ON COLUMN oauth_storage.signing_key.created_at IS
    'Time at which the key was stored, and so published.';
COMMENT ON COLUMN oauth_storage.signing_key.activated_at IS
    'Time from which the key signs; null while it is next.';
COMMENT ON COLUMN oauth_storage.signing_key.retired_at IS
    'Time at which another key became active; null before.';
COMMENT ON COLUMN oauth_storage.signing_key.expires_at IS
    'Time at which a retired key leaves the JWK set; the purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.signing_key.state IS
    'n: next, published but not signing yet; a: active; r: retired.';
COMMENT ON COLUMN oauth_storage.signing_key.issuer IS
    'The issuer whose ID tokens the key signs.';
COMMENT ON COLUMN oauth_storage.signing_key.kid IS
    'The key identifier: the SHA-256 thumbprint of the public key (RFC 7638).';
COMMENT ON COLUMN oauth_storage.signing_key.alg IS
    'The algorithm of the signatures (RFC 7518 3.1).';
COMMENT ON COLUMN oauth_storage.signing_key.encryption_key_id IS
    'The identifier of the key that the private half is encrypted under.';
COMMENT ON COLUMN oauth_storage.signing_key.ciphertext IS
    'The encrypted private half: version, nonce, ciphertext and tag.';
