-- Approves a device authorization, unless the scope ($3) is wider than the requested one.
WITH pending AS MATERIALIZED (
    SELECT digest, grant_id, expires_at, string_to_array($3, ' ') OPERATOR(pg_catalog.<@) string_to_array(scope, ' ') AS fits
    FROM oauth_storage.device_authorization
    WHERE user_code_digest = $1 AND grant_id = $4 AND client_id = $2 AND state = 'p'
        AND expires_at > statement_timestamp()
    FOR UPDATE
), approved AS (
    UPDATE oauth_storage.device_authorization AS row
    SET state = 'a'
    FROM pending
    WHERE row.digest = pending.digest AND pending.fits
)
SELECT grant_id, expires_at, fits AS "fits!" FROM pending
