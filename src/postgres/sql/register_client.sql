-- Registers a client, unless the identifier is taken.
INSERT INTO oauth_storage.client (
    client_id, client_id_issued_at, updated_at, client_secret_hash, client_secret_expires_at,
    token_endpoint_auth_method, redirect_uris, grant_types, response_types, scope, details
)
VALUES (
    $1, statement_timestamp(), statement_timestamp(), $2::text,
    CASE
        WHEN $2::text IS NOT NULL
        THEN statement_timestamp() + $3::bigint * interval '1 microsecond'
    END,
    $4, $5, $6, $7, $8, $9
)
ON CONFLICT (client_id) DO NOTHING
RETURNING
    client_id, client_id_issued_at, updated_at, disabled_at, deleted_at,
    client_secret_expires_at, token_endpoint_auth_method, redirect_uris, grant_types,
    response_types, scope, details AS "details: Json<ClientDetails>"
