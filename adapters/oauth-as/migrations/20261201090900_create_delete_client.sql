-- Deletes a client and everything that it was issued, and records the barrier. Returns whether it existed.
--
-- All revocations delete from the tables in one order, and from each table by digest. Otherwise two of them
-- could wait for each other.
CREATE FUNCTION oauth_as.delete_client(client_deleted uuid, deleted_at bigint, until bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    existed boolean;
BEGIN
    PERFORM oauth_as.record_barrier('c', client_deleted, deleted_at, until);
    DELETE FROM oauth_as.client WHERE client = client_deleted;
    existed := FOUND;
    DELETE FROM oauth_as.consent WHERE client = client_deleted AND consent IN (
        SELECT consent FROM oauth_as.consent WHERE client = client_deleted ORDER BY consent FOR UPDATE);
    DELETE FROM oauth_as.access_token WHERE client = client_deleted AND digest IN (
        SELECT digest FROM oauth_as.access_token WHERE client = client_deleted ORDER BY digest FOR UPDATE);
    DELETE FROM oauth_as.refresh_token WHERE client = client_deleted AND digest IN (
        SELECT digest FROM oauth_as.refresh_token WHERE client = client_deleted ORDER BY digest FOR UPDATE);
    DELETE FROM oauth_as.authorization_code WHERE client = client_deleted AND digest IN (
        SELECT digest FROM oauth_as.authorization_code WHERE client = client_deleted
        ORDER BY digest FOR UPDATE);
    DELETE FROM oauth_as.device_grant WHERE client = client_deleted AND digest IN (
        SELECT digest FROM oauth_as.device_grant WHERE client = client_deleted ORDER BY digest FOR UPDATE);
    DELETE FROM oauth_as.pushed_request WHERE client = client_deleted AND digest IN (
        SELECT digest FROM oauth_as.pushed_request WHERE client = client_deleted ORDER BY digest FOR UPDATE);
    RETURN existed;
END
$$;

COMMENT ON FUNCTION oauth_as.delete_client(uuid, bigint, bigint) IS
    'Deletes a client and everything that it was issued, and records the barrier.';
