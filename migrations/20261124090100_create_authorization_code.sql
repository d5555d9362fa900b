-- Authorization codes. A row outlives the use of its code until expires_at, so that a second use
-- is told from an unknown code (RFC 6749 4.1.2).
--
-- fillfactor: using and revoking a code must find room on its page, so that no index is touched
-- (a HOT update). consumed_at and revoked are in no index for the same reason.
CREATE TABLE oauth_storage.authorization_code (
    issued_at             timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    consumed_at           timestamptz,
    grant_id              uuid        NOT NULL,
    revoked               boolean     NOT NULL DEFAULT false,
    digest                bytea       NOT NULL,
    client_id             text COLLATE "C" NOT NULL,
    subject               text COLLATE "C",
    scope                 text        NOT NULL,
    response_type         text        NOT NULL,
    redirect_uri          text        NOT NULL,
    code_challenge        text,
    code_challenge_method text,
    context               jsonb,

    CONSTRAINT authorization_code_pkey PRIMARY KEY (digest),
    CONSTRAINT authorization_code_digest_length CHECK (octet_length(digest) = 32),
    CONSTRAINT authorization_code_challenge_whole CHECK (
        (code_challenge IS NULL) = (code_challenge_method IS NULL)
    ),
    CONSTRAINT authorization_code_context_object CHECK (jsonb_typeof(context) = 'object')
) WITH (
    fillfactor = 80,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The indexes are those of tokens, for the same reasons.
CREATE INDEX authorization_code_expires_at ON oauth_storage.authorization_code
    (date_bin('10 seconds', expires_at, '2000-01-01 00:00:00+00'));
CREATE INDEX authorization_code_grant_id ON oauth_storage.authorization_code (grant_id);
CREATE INDEX authorization_code_subject ON oauth_storage.authorization_code
    (hashtext(subject)) WHERE subject IS NOT NULL;
CREATE INDEX authorization_code_client_id ON oauth_storage.authorization_code (client_id);

COMMENT ON TABLE oauth_storage.authorization_code IS
    'Authorization codes by digest, used ones included until they expire (RFC 6749 4.1.2).';
COMMENT ON COLUMN oauth_storage.authorization_code.issued_at IS
    'When the code was stored.';
COMMENT ON COLUMN oauth_storage.authorization_code.expires_at IS
    'When its lifetime ends; the purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.authorization_code.consumed_at IS
    'When the code was used; null for never.';
COMMENT ON COLUMN oauth_storage.authorization_code.grant_id IS
    'The act of authorization; each token that the code is used for carries it.';
COMMENT ON COLUMN oauth_storage.authorization_code.revoked IS
    'Whether the grant was revoked before the code was used.';
COMMENT ON COLUMN oauth_storage.authorization_code.digest IS
    'SHA-256 of the code; the code itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.authorization_code.client_id IS
    'The client that the code was issued to. No foreign key: DESIGN.md says why.';
COMMENT ON COLUMN oauth_storage.authorization_code.subject IS
    'The resource owner.';
COMMENT ON COLUMN oauth_storage.authorization_code.scope IS
    'What the resource owner said yes to, the tokens parted by single spaces.';
COMMENT ON COLUMN oauth_storage.authorization_code.response_type IS
    'The response type of the authorization request.';
COMMENT ON COLUMN oauth_storage.authorization_code.redirect_uri IS
    'Where the code was sent; the token request must name the same (RFC 6749 4.1.3).';
COMMENT ON COLUMN oauth_storage.authorization_code.code_challenge IS
    'The PKCE challenge (RFC 7636 4.2); for S256 not a secret.';
COMMENT ON COLUMN oauth_storage.authorization_code.code_challenge_method IS
    'S256, or plain where a deployment still allows it.';
COMMENT ON COLUMN oauth_storage.authorization_code.context IS
    'What travels to every token of the grant and no statement decides by, as one object: nonce, auth_time, acr, amr, claims, resource, jkt, x5t#S256, extension; null for none of it. Must hold no secret.';
