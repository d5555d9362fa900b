-- Authorization codes. A row outlives the use of its code until expires_at, so that a second use differs
-- from an unknown code (RFC 6749 4.1.2).
--
-- fillfactor: using a code must find room on its page, so that no index is touched (a HOT update).
-- consumed_at is in no index for the same reason.
CREATE TABLE oauth_storage.authorization_code (
    issued_at      timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    consumed_at    timestamptz,
    grant_id       uuid        NOT NULL,
    digest         uuid        NOT NULL,
    digest_tail    uuid        NOT NULL,
    response_type  text        NOT NULL,
    redirect_uri   text        NOT NULL,
    code_challenge text,

    CONSTRAINT authorization_code_pkey PRIMARY KEY (digest)
) WITH (
    fillfactor = 80,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The purge scans it from the oldest, as that of token.
CREATE INDEX authorization_code_expires_at ON oauth_storage.authorization_code
    (date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'));

COMMENT ON TABLE oauth_storage.authorization_code IS
    'Authorization codes by digest, used ones included until they expire (RFC 6749 4.1.2).';
COMMENT ON COLUMN oauth_storage.authorization_code.issued_at IS
    'Time at which the code was stored.';
COMMENT ON COLUMN oauth_storage.authorization_code.expires_at IS
    'Expiry; the purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.authorization_code.consumed_at IS
    'Time at which the code was used or deleted; null for neither.';
COMMENT ON COLUMN oauth_storage.authorization_code.grant_id IS
    'The grant of the code and of the tokens it is redeemed for. No foreign key: DESIGN.md says why.';
COMMENT ON COLUMN oauth_storage.authorization_code.digest IS
    'First half of the SHA-256 of the code, the key; the code itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.authorization_code.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_storage.authorization_code.response_type IS
    'The response type of the authorization request.';
COMMENT ON COLUMN oauth_storage.authorization_code.redirect_uri IS
    'The redirect URI of the authorization request; the token request must repeat it (RFC 6749 4.1.3).';
COMMENT ON COLUMN oauth_storage.authorization_code.code_challenge IS
    'The PKCE challenge in its S256 form (RFC 7636 4.2), which is not a secret.';
