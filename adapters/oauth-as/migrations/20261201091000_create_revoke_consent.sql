-- Deletes a consent and everything that was issued under it, and records the barrier. Returns the number of
-- records without the consent itself; null, and no barrier, if the consent was gone.
CREATE FUNCTION oauth_as.revoke_consent(
    consent_revoked uuid, scope_revoked uuid, of_client uuid, of_subject uuid, revoked_at bigint, until bigint
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deleted bigint;
    total   bigint := 0;
BEGIN
    -- The row first, because without it there is nothing to revoke. Nobody who holds this scope waits for the row: a
    -- write that holds it has the scope of its client as well, so delete_client has no row yet.
    DELETE FROM oauth_as.consent
    WHERE consent = consent_revoked AND client = of_client AND subject = of_subject;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM oauth_as.record_barrier('s', scope_revoked, revoked_at, until);
    DELETE FROM oauth_as.access_token WHERE client = of_client AND subject = of_subject AND digest IN (
        SELECT digest FROM oauth_as.access_token WHERE client = of_client AND subject = of_subject
        ORDER BY digest FOR UPDATE);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted;
    DELETE FROM oauth_as.refresh_token WHERE client = of_client AND subject = of_subject AND digest IN (
        SELECT digest FROM oauth_as.refresh_token WHERE client = of_client AND subject = of_subject
        ORDER BY digest FOR UPDATE);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted;
    DELETE FROM oauth_as.authorization_code WHERE client = of_client AND subject = of_subject AND digest IN (
        SELECT digest FROM oauth_as.authorization_code WHERE client = of_client AND subject = of_subject
        ORDER BY digest FOR UPDATE);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    total := total + deleted;
    -- Only an approved grant has a subject. Nobody has consented to a pending one yet.
    DELETE FROM oauth_as.device_grant WHERE client = of_client AND subject = of_subject AND digest IN (
        SELECT digest FROM oauth_as.device_grant WHERE client = of_client AND subject = of_subject
        ORDER BY digest FOR UPDATE);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN total + deleted;
END
$$;

COMMENT ON FUNCTION oauth_as.revoke_consent(uuid, uuid, uuid, uuid, bigint, bigint) IS
    'Deletes a consent and everything that was issued under it, and records the barrier.';
