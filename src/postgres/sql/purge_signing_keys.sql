-- Deletes up to $1 expired signing keys. Locked rows stay for a later batch.
DELETE FROM oauth_storage.signing_key
WHERE ctid = ANY (ARRAY (
    SELECT ctid
    FROM oauth_storage.signing_key
    WHERE expires_at <= statement_timestamp()
    ORDER BY expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))
