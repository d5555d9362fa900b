-- Device authorizations (RFC 8628), from the request of the device until the device has its tokens.
--
-- The grant is created when the user approves, so that it is listed and revoked as any other. The row is
-- deleted when the tokens are issued.
--
-- fillfactor: each poll updates the row on its page, so that no index is touched (a HOT update).
CREATE TABLE oauth_storage.device_authorization (
    issued_at        timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    polled_at        timestamptz,
    grant_id         uuid        NOT NULL,
    digest           uuid        NOT NULL,
    digest_tail      uuid        NOT NULL,
    user_code_digest uuid        NOT NULL,
    poll_interval    integer     NOT NULL,
    state            "char"      NOT NULL DEFAULT 'p',
    client_id        text COLLATE "C" NOT NULL,
    scope            text        NOT NULL,
    context          jsonb,

    CONSTRAINT device_authorization_pkey PRIMARY KEY (digest),
    CONSTRAINT device_authorization_user_code_key UNIQUE (user_code_digest),
    CONSTRAINT device_authorization_state CHECK (state IN ('p', 'a', 'd')),
    CONSTRAINT device_authorization_context_object CHECK (jsonb_typeof(context) = 'object')
) WITH (
    fillfactor = 70,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The purge scans it from the oldest, as that of token.
CREATE INDEX device_authorization_expires_at ON oauth_storage.device_authorization
    (date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'));

COMMENT ON TABLE oauth_storage.device_authorization IS
    'Device authorizations (RFC 8628) whose tokens have not been issued.';
COMMENT ON COLUMN oauth_storage.device_authorization.issued_at IS
    'Time at which the device asked.';
COMMENT ON COLUMN oauth_storage.device_authorization.expires_at IS
    'Expiry of the device code and the user code; the purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.device_authorization.polled_at IS
    'Time of the last poll.';
COMMENT ON COLUMN oauth_storage.device_authorization.grant_id IS
    'The grant that exists once the user approves.';
COMMENT ON COLUMN oauth_storage.device_authorization.digest IS
    'First half of the SHA-256 of the device code, the key; the code itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.device_authorization.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_storage.device_authorization.user_code_digest IS
    'First half of the SHA-256 of the user code. A user code has 34 random bits, so whoever reads this column can compute it.';
COMMENT ON COLUMN oauth_storage.device_authorization.poll_interval IS
    'Seconds that the device must wait between two polls. Grows by five with each slow_down (RFC 8628 3.5).';
COMMENT ON COLUMN oauth_storage.device_authorization.state IS
    'p: pending; a: approved; d: denied.';
COMMENT ON COLUMN oauth_storage.device_authorization.client_id IS
    'The client that asked.';
COMMENT ON COLUMN oauth_storage.device_authorization.scope IS
    'The requested scope.';
COMMENT ON COLUMN oauth_storage.device_authorization.context IS
    'Other values of the request, for the grant.';
