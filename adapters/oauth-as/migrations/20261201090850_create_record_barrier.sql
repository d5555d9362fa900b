-- Records a revocation. The exclusive lock waits for the writes of the scope that have begun, and later ones
-- wait for the end of this transaction, see is_revoked.
CREATE FUNCTION oauth_as.record_barrier(scope_kind "char", scope_revoked uuid, revoked_at bigint, until bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the isolation level must be READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(uuid_hash_extended(scope_revoked, 0));
    INSERT INTO oauth_as.barrier AS recorded (scope, kind, recorded_at, expires_at)
    VALUES (scope_revoked, scope_kind, revoked_at, until)
    -- A repeated revocation never shortens the first one.
    ON CONFLICT (scope) DO UPDATE SET
        recorded_at = greatest(recorded.recorded_at, excluded.recorded_at),
        expires_at = greatest(recorded.expires_at, excluded.expires_at);
END
$$;

COMMENT ON FUNCTION oauth_as.record_barrier("char", uuid, bigint, bigint) IS
    'Records a revocation, after the writes of its scope that have begun.';
