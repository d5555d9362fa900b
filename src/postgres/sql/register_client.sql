-- Registers a client, unless the identifier is taken.
WITH registered AS (
    INSERT INTO oauth_storage.client (
        client_id, client_id_issued_at, updated_at, client_secret_hash, client_secret_expires_at,
        token_endpoint_auth_method, redirect_uris, grant_types, response_types, scope, details,
        expires_at, registration_access_token_hash
    )
    VALUES (
        $1, statement_timestamp(), statement_timestamp(), $2::text,
        CASE
            WHEN $2::text IS NOT NULL
            THEN statement_timestamp() + $3::bigint::float8 * interval '1 microsecond'
        END,
        $4, $5, $6, $7, $8, $9,
        statement_timestamp() + $10::bigint::float8 * interval '1 microsecond', $11::text
    )
    ON CONFLICT (client_id) DO NOTHING
    RETURNING *
), locked AS (
    INSERT INTO oauth_storage.client_lock (client_id)
    SELECT client_id FROM registered
)
SELECT
    client_id AS "client_id!", client_id_issued_at AS "client_id_issued_at!",
    updated_at AS "updated_at!", disabled_at, deleted_at, expires_at, last_used_at,
    client_secret_expires_at,
    token_endpoint_auth_method AS "token_endpoint_auth_method!",
    redirect_uris AS "redirect_uris!", grant_types AS "grant_types!",
    response_types AS "response_types!", scope AS "scope!",
    details AS "details!: Json<ClientDetails>"
FROM registered
