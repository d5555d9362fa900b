-- Registers a client, or replaces its metadata and its secret. Without a new secret ($2) the current one
-- stays, if the client still uses one ($9). No row if the client is being deleted.
WITH ensured AS (
    INSERT INTO oauth_storage.client (
        client_id, client_id_issued_at, updated_at, client_secret_hash, token_endpoint_auth_method,
        redirect_uris, grant_types, response_types, scope, details
    )
    VALUES (
        $1, statement_timestamp(), statement_timestamp(), $2::text, $3, $4, $5, $6, $7, $8
    )
    ON CONFLICT (client_id) DO UPDATE
    SET
        updated_at = statement_timestamp(),
        client_secret_hash = CASE
            WHEN $9 THEN coalesce(excluded.client_secret_hash, client.client_secret_hash)
        END,
        client_secret_expires_at = CASE
            WHEN $9 AND excluded.client_secret_hash IS NULL THEN client.client_secret_expires_at
        END,
        previous_client_secret_hashes = CASE
            WHEN $9 AND excluded.client_secret_hash IS NULL THEN client.previous_client_secret_hashes
            ELSE '{}'
        END,
        previous_client_secrets_expire_at = CASE
            WHEN $9 AND excluded.client_secret_hash IS NULL
            THEN client.previous_client_secrets_expire_at
            ELSE '{}'
        END,
        token_endpoint_auth_method = excluded.token_endpoint_auth_method,
        redirect_uris = excluded.redirect_uris,
        grant_types = excluded.grant_types,
        response_types = excluded.response_types,
        scope = excluded.scope,
        details = excluded.details,
        expires_at = NULL,
        registration_access_token_hash = NULL
    WHERE client.deleted_at IS NULL
    RETURNING *
), locked AS (
    INSERT INTO oauth_storage.client_lock (client_id)
    SELECT client_id FROM ensured
    ON CONFLICT (client_id) DO NOTHING
)
SELECT
    client_id AS "client_id!", client_id_issued_at AS "client_id_issued_at!",
    updated_at AS "updated_at!", disabled_at, deleted_at, expires_at, last_used_at,
    client_secret_expires_at,
    token_endpoint_auth_method AS "token_endpoint_auth_method!",
    redirect_uris AS "redirect_uris!", grant_types AS "grant_types!",
    response_types AS "response_types!", scope AS "scope!",
    details AS "details!: Json<ClientDetails>"
FROM ensured
