-- Short-lived records, each under a digest: put once, taken once, changed only from the version that was
-- seen, and expired by PostgreSQL's clock. Replay identifiers, pushed requests and pending requests are
-- records of this table; each noun is a kind.
--
-- The digest covers the kind, so that one noun cannot name a record of another.
--
-- fillfactor: a change must find room on the page of the row, so that no index is touched (a HOT update).
CREATE TABLE oauth_storage.record (
    expires_at  timestamptz NOT NULL,
    version     integer     NOT NULL DEFAULT 0,
    kind        "char"      NOT NULL,
    digest      uuid        NOT NULL,
    digest_tail uuid        NOT NULL,
    client_id   text COLLATE "C",
    value       jsonb,

    CONSTRAINT record_pkey PRIMARY KEY (digest),
    CONSTRAINT record_kind CHECK (kind IN ('g', 'j', 'p', 'q')),
    CONSTRAINT record_value_object CHECK (jsonb_typeof(value) = 'object')
) WITH (
    fillfactor = 80,
    -- Short lives: vacuum early, by the share that is dead, or the table never shrinks.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

-- The purge scans it from the oldest, as that of token.
CREATE INDEX record_expires_at ON oauth_storage.record
    (date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00'));

COMMENT ON TABLE oauth_storage.record IS
    'Short-lived records by digest: replay identifiers, pushed and pending authorization requests.';
COMMENT ON COLUMN oauth_storage.record.expires_at IS
    'Expiry; the purge removes the row after that.';
COMMENT ON COLUMN oauth_storage.record.version IS
    'The number of changes. A change names the version that it saw.';
COMMENT ON COLUMN oauth_storage.record.kind IS
    'g: attempts of a guesser of user codes; j: replay identifier; p: pushed authorization request; q: pending authorization request.';
COMMENT ON COLUMN oauth_storage.record.digest IS
    'First half of the SHA-256 of the kind and the identifier, the key; the identifier itself is stored nowhere.';
COMMENT ON COLUMN oauth_storage.record.digest_tail IS
    'Second half of the SHA-256, which every lookup compares as well.';
COMMENT ON COLUMN oauth_storage.record.client_id IS
    'The client that may take the record; null for any.';
COMMENT ON COLUMN oauth_storage.record.value IS
    'The value; null for a replay identifier.';
