-- A client, enabled or not, with what its registration is decided by.
SELECT
    client_id, client_id_issued_at, updated_at, disabled_at, deleted_at, expires_at, last_used_at,
    client_secret_expires_at, token_endpoint_auth_method, redirect_uris, grant_types,
    response_types, scope, details AS "details: Json<ClientDetails>",
    CASE
        WHEN client_secret_expires_at <= statement_timestamp() THEN NULL
        ELSE client_secret_hash
    END AS client_secret_hash,
    ARRAY (
        SELECT previous.hash
        FROM UNNEST(previous_client_secret_hashes, previous_client_secrets_expire_at)
            AS previous (hash, expires_at)
        WHERE previous.expires_at > statement_timestamp()
    ) AS "previous_client_secret_hashes!",
    registration_access_token_hash,
    disabled_at IS NULL AND coalesce(expires_at > statement_timestamp(), true) AS "enabled!",
    statement_timestamp() AS "now!"
FROM oauth_storage.client
WHERE client_id = $1
