-- Replaces the metadata of a client. Its secrets ($8) stay only if it still authenticates by one.
UPDATE oauth_storage.client
SET
    updated_at = statement_timestamp(),
    token_endpoint_auth_method = $2,
    redirect_uris = $3,
    grant_types = $4,
    response_types = $5,
    scope = $6,
    details = $7,
    client_secret_hash = CASE WHEN $8 THEN client_secret_hash END,
    client_secret_expires_at = CASE WHEN $8 THEN client_secret_expires_at END,
    previous_client_secret_hashes =
        CASE WHEN $8 THEN previous_client_secret_hashes ELSE '{}' END,
    previous_client_secrets_expire_at =
        CASE WHEN $8 THEN previous_client_secrets_expire_at ELSE '{}' END
WHERE client_id = $1 AND deleted_at IS NULL
RETURNING
    client_id, client_id_issued_at, updated_at, disabled_at, deleted_at, expires_at, last_used_at,
    client_secret_expires_at, token_endpoint_auth_method, redirect_uris, grant_types,
    response_types, scope, details AS "details: Json<ClientDetails>"
