-- Makes a sign-out wait until this transaction ends, and notes the client that it reports. One row if the
-- session is live and of the subject.
UPDATE oauth_storage.user_session
SET
    client_ids = CASE
        WHEN $3 = ANY (client_ids) OR pg_catalog.cardinality(client_ids) >= 1000 THEN client_ids
        ELSE pg_catalog.array_append(client_ids, $3::text)
    END
WHERE sid = $1 AND subject = $2 AND ended_at IS NULL AND expires_at > statement_timestamp()
