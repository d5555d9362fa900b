-- Sessions of users at the server, each under the digest of the secret that the user's cookie holds.
-- A session that a sign-out has ended stays, marked, until its grants are revoked.
--
-- fillfactor: an application that the session signs in to is written to its row (a HOT update). A use
-- moves expires_at, which is indexed for the purge, but at most once in a tenth of the idle time-out.
CREATE TABLE oauth_storage.user_session (
    created_at          timestamptz NOT NULL,
    authenticated_at    timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL,
    ended_at            timestamptz,
    lifetime            interval    NOT NULL,
    idle_timeout        interval,
    sid                 uuid        NOT NULL,
    digest              uuid        NOT NULL,
    digest_tail         uuid        NOT NULL,
    subject             text COLLATE "C" NOT NULL,
    acr                 text,
    amr                 jsonb,
    details             jsonb,
    client_ids          text[] COLLATE "C" NOT NULL DEFAULT '{}',

    CONSTRAINT user_session_pkey PRIMARY KEY (digest),
    CONSTRAINT user_session_sid_key UNIQUE (sid),
    CONSTRAINT user_session_amr_array CHECK (jsonb_typeof(amr) = 'array'),
    CONSTRAINT user_session_details_object CHECK (jsonb_typeof(details) = 'object')
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The sessions of a subject in the order of their creation, as the grants of a subject.
CREATE INDEX user_session_subject ON oauth_storage.user_session
    (hashtextextended(subject, 0::bigint), sid);
-- The purge scans it from the oldest, as that of token.
CREATE INDEX user_session_expires_at ON oauth_storage.user_session
    (date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'));
-- Sign-outs that were interrupted, which the purge finishes. Almost always empty.
CREATE INDEX user_session_ended_at ON oauth_storage.user_session (ended_at) WHERE ended_at IS NOT NULL;

COMMENT ON TABLE oauth_storage.user_session IS
    'Sessions of users at the authorization server, by the digest of the cookie''s secret.';
COMMENT ON COLUMN oauth_storage.user_session.created_at IS
    'Time at which the session started.';
COMMENT ON COLUMN oauth_storage.user_session.authenticated_at IS
    'Time at which the user last authenticated (auth_time).';
COMMENT ON COLUMN oauth_storage.user_session.expires_at IS
    'Expiry: the idle end or the absolute end, whichever is earlier. The purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.user_session.absolute_expires_at IS
    'The absolute end, which only another authentication moves.';
COMMENT ON COLUMN oauth_storage.user_session.ended_at IS
    'Time of the sign-out. The row is deleted when the grants of the session are revoked; null for none.';
COMMENT ON COLUMN oauth_storage.user_session.lifetime IS
    'The time from an authentication to the absolute end.';
COMMENT ON COLUMN oauth_storage.user_session.idle_timeout IS
    'The time without use after which the session ends; null for none.';
COMMENT ON COLUMN oauth_storage.user_session.sid IS
    'The public identifier (sid) in ID tokens and logout tokens, a UUIDv7. Not a secret.';
COMMENT ON COLUMN oauth_storage.user_session.digest IS
    'First half of the SHA-256 of the secret, the key; the secret itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.user_session.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_storage.user_session.subject IS
    'The user.';
COMMENT ON COLUMN oauth_storage.user_session.acr IS
    'The authentication context class reference; null for none.';
COMMENT ON COLUMN oauth_storage.user_session.amr IS
    'The authentication methods (RFC 8176), an array; null for none.';
COMMENT ON COLUMN oauth_storage.user_session.details IS
    'Values for a list of sessions, such as the user agent; null for none. Must not hold a secret.';
COMMENT ON COLUMN oauth_storage.user_session.client_ids IS
    'The clients that got a grant in the session, which a sign-out tells. They stay when the grants have expired.';
