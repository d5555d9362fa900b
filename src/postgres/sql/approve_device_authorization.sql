-- Approves a device authorization and stores its grant. One row if the user code ($1) and the grant ($6)
-- are those of a pending authorization of the client ($2); it is approved unless the scope ($4) is wider than the requested one.
WITH pending AS MATERIALIZED (
    -- A statement that waited for the lock of the row reads its new version, so exactly one decides.
    SELECT
        digest, grant_id, client_id, issued_at, expires_at,
        string_to_array($4, ' ') OPERATOR(pg_catalog.<@) string_to_array(scope, ' ') AS fits
    FROM oauth_storage.device_authorization
    WHERE user_code_digest = $1 AND grant_id = $6 AND client_id = $2 AND state = 'p'
        AND expires_at > statement_timestamp()
    FOR UPDATE
), owner AS MATERIALIZED (
    -- As in create_token.sql: nothing is issued to a client after it was disabled.
    SELECT pending.*
    FROM pending
    JOIN oauth_storage.client ON client.client_id = pending.client_id
        AND client.disabled_at IS NULL
        AND coalesce(client.expires_at > statement_timestamp(), true)
        AND client.client_id_issued_at <= pending.issued_at
    JOIN oauth_storage.client_lock AS lock ON lock.client_id = client.client_id
        AND NOT lock.disabled
    FOR SHARE OF lock
), approved AS (
    UPDATE oauth_storage.device_authorization AS row
    SET state = 'a'
    FROM owner
    WHERE row.digest = owner.digest AND owner.fits
), granted AS (
    INSERT INTO oauth_storage.authorization_grant (
        granted_at, expires_at, grant_id, client_id, subject, scope, context
    )
    SELECT statement_timestamp(), expires_at, grant_id, client_id, $3, $4, $5::text::jsonb
    FROM owner
    WHERE fits
)
SELECT fits AS "fits!" FROM owner
