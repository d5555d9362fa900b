-- Access and refresh tokens: one row a credential, found by its digest whatever its kind. What the
-- tokens of a grant share is in its row of authorization_grant; a token without one is not found.
--
-- fillfactor: revoking and rotating must find room on the page of the row, so that no index is
-- touched (a HOT update). rotated_at and revoked are in no index for the same reason. The column
-- order wastes no alignment.
--
-- The digest is two columns of 16 bytes, because a key of 16 bytes takes half the index of one of 32
-- and is compared faster. DESIGN.md has the figures.
CREATE TABLE oauth_storage.token (
    issued_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    rotated_at  timestamptz,
    grant_id    uuid        NOT NULL,
    digest      uuid        NOT NULL,
    digest_tail uuid        NOT NULL,
    kind        "char"      NOT NULL,
    revoked     boolean     NOT NULL DEFAULT false,
    scope       text,

    CONSTRAINT token_pkey PRIMARY KEY (digest),
    CONSTRAINT token_kind CHECK (kind IN ('a', 'r')),
    CONSTRAINT token_rotated_refresh CHECK (rotated_at IS NULL OR kind = 'r')
) WITH (
    fillfactor = 95,
    -- The default, a fifth of the table, is far too late for millions of rows that come and go.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);

-- The purge scans it from the oldest. In steps of ten seconds, because equal keys share an entry: 7
-- bytes a row instead of 25. The purge compares expires_at as well.
CREATE INDEX token_expires_at ON oauth_storage.token
    (date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'));

COMMENT ON TABLE oauth_storage.token IS
    'Access and refresh tokens by digest, one row a credential.';
COMMENT ON COLUMN oauth_storage.token.issued_at IS
    'Time at which the token was stored.';
COMMENT ON COLUMN oauth_storage.token.expires_at IS
    'Expiry; the purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.token.rotated_at IS
    'Time at which the refresh token was first exchanged for a new pair; null for never.';
COMMENT ON COLUMN oauth_storage.token.grant_id IS
    'The grant of the token. No foreign key: DESIGN.md says why.';
COMMENT ON COLUMN oauth_storage.token.kind IS
    'a: access token; r: refresh token.';
COMMENT ON COLUMN oauth_storage.token.revoked IS
    'Set on the token that a revocation request named; its grant is revoked with it.';
COMMENT ON COLUMN oauth_storage.token.digest IS
    'First half of the SHA-256 of the token, the key; the token itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.token.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_storage.token.scope IS
    'The scope of the token where it is not that of the grant, tokens separated by single spaces; null where it is.';
