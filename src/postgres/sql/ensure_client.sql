-- Registers a client, or replaces its metadata, its secret ($2) and its expiry ($9). If it has that secret,
-- its secrets stay, and the expiry of the current one if asked for ($10). No row if the client is being
-- deleted.
WITH ensured AS (
    INSERT INTO oauth_storage.client (
        client_id, client_id_issued_at, updated_at, client_secret_hash, token_endpoint_auth_method,
        redirect_uris, grant_types, response_types, scope, details, expires_at
    )
    VALUES (
        $1, statement_timestamp(), statement_timestamp(), $2::text, $3, $4, $5, $6, $7, $8,
        statement_timestamp() + $9::bigint::float8 * interval '1 microsecond'
    )
    ON CONFLICT (client_id) DO UPDATE
    SET
        updated_at = statement_timestamp(),
        -- A rotation since the hash was read left that among the earlier ones.
        client_secret_hash = CASE
            WHEN excluded.client_secret_hash = ANY (client.previous_client_secret_hashes)
            THEN client.client_secret_hash
            ELSE excluded.client_secret_hash
        END,
        client_secret_expires_at = CASE
            WHEN excluded.client_secret_hash = ANY (client.previous_client_secret_hashes)
                OR $10 AND client.client_secret_hash = excluded.client_secret_hash
            THEN client.client_secret_expires_at
        END,
        previous_client_secret_hashes = CASE
            WHEN excluded.client_secret_hash
                = ANY (pg_catalog.array_append(client.previous_client_secret_hashes, client.client_secret_hash))
            THEN client.previous_client_secret_hashes
            ELSE '{}'
        END,
        previous_client_secrets_expire_at = CASE
            WHEN excluded.client_secret_hash
                = ANY (pg_catalog.array_append(client.previous_client_secret_hashes, client.client_secret_hash))
            THEN client.previous_client_secrets_expire_at
            ELSE '{}'
        END,
        token_endpoint_auth_method = excluded.token_endpoint_auth_method,
        redirect_uris = excluded.redirect_uris,
        grant_types = excluded.grant_types,
        response_types = excluded.response_types,
        scope = excluded.scope,
        details = excluded.details,
        expires_at = excluded.expires_at,
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
