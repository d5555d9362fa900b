-- Access and refresh tokens: one row a credential, found by its digest whichever kind it is.
--
-- Everything that a decision needs stands on the row, so a lookup is one index probe without a
-- join, and the table can be distributed by digest. There is no table of grants: a grant is the
-- rows that share its grant_id.
--
-- fillfactor: revoking and rotating must find room on the page of the row, so that no index is
-- touched (a HOT update). rotated_at and revoked are in no index for the same reason. The columns
-- stand in the order that wastes no alignment.
CREATE TABLE oauth_storage.token (
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    grant_id   uuid        NOT NULL,
    kind       "char"      NOT NULL,
    revoked    boolean     NOT NULL DEFAULT false,
    digest     bytea       NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    subject    text COLLATE "C",
    scope      text        NOT NULL,
    context    jsonb,

    CONSTRAINT token_pkey PRIMARY KEY (digest),
    CONSTRAINT token_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT token_kind CHECK (kind IN ('a', 'r')),
    CONSTRAINT token_rotated_refresh CHECK (rotated_at IS NULL OR kind = 'r'),
    CONSTRAINT token_context_object CHECK (jsonb_typeof(context) = 'object')
) WITH (
    fillfactor = 95,
    -- The default, a fifth of the table, is far too late where millions of rows come and go.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);

-- The purge walks it from the oldest. To ten seconds: equal keys share an entry, so that it takes 7
-- bytes a row rather than 25; the purge compares expires_at itself, too.
CREATE INDEX token_expires_at ON oauth_storage.token
    (date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00'));
-- Revocation of a grant, and of a pair. Grant ids begin with the time, so most entries are added at
-- the end; the room is for those of rotations.
CREATE INDEX token_grant_id ON oauth_storage.token (grant_id) WITH (fillfactor = 95);
-- The grants of a subject, and their revocation. The subject's hash is shorter than most subjects;
-- the query compares the subject, too.
CREATE INDEX token_subject ON oauth_storage.token (hashtext(subject)) WHERE subject IS NOT NULL;
-- Revocation of a client's tokens; few different keys, so it stays small.
CREATE INDEX token_client_id ON oauth_storage.token (client_id);

COMMENT ON TABLE oauth_storage.token IS
    'Access and refresh tokens by digest, one row a credential.';
COMMENT ON COLUMN oauth_storage.token.issued_at IS
    'When the token was stored; to the microsecond, so it tells the pairs of a grant apart.';
COMMENT ON COLUMN oauth_storage.token.expires_at IS
    'When its lifetime ends; the purge removes the row after that. Rotation does not move it for refresh tokens.';
COMMENT ON COLUMN oauth_storage.token.rotated_at IS
    'When the refresh token was exchanged for a new pair; null for never.';
COMMENT ON COLUMN oauth_storage.token.grant_id IS
    'The act of authorization that the token comes from.';
COMMENT ON COLUMN oauth_storage.token.kind IS
    'a: access token; r: refresh token.';
COMMENT ON COLUMN oauth_storage.token.revoked IS
    'Whether the token, its pair or its grant was revoked.';
COMMENT ON COLUMN oauth_storage.token.digest IS
    'SHA-256 of the token; the token itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.token.client_id IS
    'The client that the token was issued to. No foreign key: DESIGN.md says why.';
COMMENT ON COLUMN oauth_storage.token.subject IS
    'The resource owner; null for client credentials.';
COMMENT ON COLUMN oauth_storage.token.scope IS
    'What the token allows, the scope tokens parted by single spaces.';
COMMENT ON COLUMN oauth_storage.token.context IS
    'What travels to every token of the grant and no statement decides by, as one object: nonce, auth_time, acr, amr, claims, resource, jkt, x5t#S256, extension; null for none of it. Must hold no secret.';
