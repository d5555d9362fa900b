-- no-transaction
-- An index of the next version, built while the previous version reads and writes.
CREATE INDEX CONCURRENTLY IF NOT EXISTS token_next_version ON oauth_storage.token (next_version);
