-- Clients after an identifier, enabled or not.
SELECT
    client_id, client_id_issued_at, updated_at, disabled_at, deleted_at, expires_at, last_used_at,
    client_secret_expires_at, token_endpoint_auth_method, redirect_uris, grant_types,
    response_types, scope, details AS "details: Json<ClientDetails>"
FROM oauth_storage.client
WHERE client_id > $1
ORDER BY client_id
LIMIT $2
