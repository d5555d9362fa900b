-- Deletes the tokens of a family and records the barrier. Returns the number of tokens.
CREATE FUNCTION oauth_as.revoke_token_family(family_revoked uuid, revoked_at bigint, until bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deleted bigint;
    total   bigint := 0;
BEGIN
    PERFORM oauth_as.record_barrier('f', family_revoked, revoked_at, until);
    DELETE FROM oauth_as.access_token WHERE family = family_revoked AND digest IN (
        SELECT digest FROM oauth_as.access_token WHERE family = family_revoked ORDER BY digest FOR UPDATE);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted;
    DELETE FROM oauth_as.refresh_token WHERE family = family_revoked AND digest IN (
        SELECT digest FROM oauth_as.refresh_token WHERE family = family_revoked ORDER BY digest FOR UPDATE);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN total + deleted;
END
$$;

COMMENT ON FUNCTION oauth_as.revoke_token_family(uuid, bigint, bigint) IS
    'Deletes the tokens of a family and records the barrier.';
