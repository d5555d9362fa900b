-- Returns true if a write of this client, consent and family must be refused, because a revocation covers a
-- grant that was established then.
--
-- It locks the scopes in share mode until the end of the transaction. A revocation locks its scope exclusively
-- before it records the barrier (see record_barrier). So either the revocation comes first, and this function
-- sees the barrier; or the write comes first, and the revocation waits until it is committed and deletes it.
--
-- VOLATILE matters: each statement of the body has a snapshot of its own, so the second one sees what was
-- committed while the first one waited for its locks. That needs the isolation level READ COMMITTED.
CREATE FUNCTION oauth_as.is_revoked(client_scope uuid, consent_scope uuid, family_scope uuid, established bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    scopes uuid[] := array_remove(ARRAY[client_scope, consent_scope, family_scope], NULL);
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the isolation level must be READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(locked.scope, 0))
    FROM unnest(scopes) AS locked (scope);
    RETURN EXISTS (
        SELECT FROM oauth_as.barrier
        WHERE barrier.scope = ANY (scopes)
            -- A family never comes back. A client or a consent can: a later grant is a new decision.
            AND (barrier.kind = 'f' OR established <= barrier.recorded_at
                -- Nobody has registered the client again.
                OR (barrier.kind = 'c'
                    AND NOT EXISTS (SELECT FROM oauth_as.client WHERE client.client = client_scope)))
    );
END
$$;

COMMENT ON FUNCTION oauth_as.is_revoked(uuid, uuid, uuid, bigint) IS
    'True if a revocation covers a write; locks the scopes against a revocation until the transaction ends.';
