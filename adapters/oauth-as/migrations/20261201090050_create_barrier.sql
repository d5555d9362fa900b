-- Revocations. A write of a token that a revocation covers is refused, see the function is_revoked.
CREATE TABLE oauth_as.barrier (
    expires_at  bigint NOT NULL,
    recorded_at bigint NOT NULL,
    scope       uuid   NOT NULL,
    kind        "char" NOT NULL,

    CONSTRAINT barrier_pkey PRIMARY KEY (scope),
    CONSTRAINT barrier_kind CHECK (kind IN ('c', 'f', 's'))
);

-- The sweep.
CREATE INDEX barrier_expires_at ON oauth_as.barrier (expires_at);

COMMENT ON TABLE oauth_as.barrier IS
    'Revocations that writes in flight must respect.';
COMMENT ON COLUMN oauth_as.barrier.expires_at IS
    'The caller''s deadline for the barrier, in nanoseconds since 1970; the sweep removes the row then.';
COMMENT ON COLUMN oauth_as.barrier.recorded_at IS
    'The time of the last revocation, in nanoseconds since 1970, by the caller''s clock.';
COMMENT ON COLUMN oauth_as.barrier.scope IS
    'The hash of what was revoked: a client, a token family, or a client and a subject.';
COMMENT ON COLUMN oauth_as.barrier.kind IS
    'c: client; f: token family; s: consent of a subject to a client.';
