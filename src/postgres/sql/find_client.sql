-- Enabled clients, with the hashes of the secrets that are valid now, and if the day of their last use
-- is to be written.
SELECT
    input.position AS "position!", client.client_id, client.client_id_issued_at,
    client.updated_at, client.disabled_at, client.deleted_at, client.expires_at,
    client.last_used_at, client.client_secret_expires_at,
    client.token_endpoint_auth_method, client.redirect_uris, client.grant_types,
    client.response_types, client.scope, client.details AS "details: Json<ClientDetails>",
    CASE
        WHEN client.client_secret_expires_at <= statement_timestamp() THEN NULL
        ELSE client.client_secret_hash
    END AS client_secret_hash,
    ARRAY (
        SELECT previous.hash
        FROM UNNEST(
            client.previous_client_secret_hashes, client.previous_client_secrets_expire_at
        ) AS previous (hash, expires_at)
        WHERE previous.expires_at > statement_timestamp()
    ) AS "previous_client_secret_hashes!",
    coalesce(client.last_used_at <= statement_timestamp() - interval '1 day', true) AS "unmarked!"
FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS input (client_id, position)
JOIN oauth_storage.client ON client.client_id = input.client_id
    AND client.disabled_at IS NULL
    AND coalesce(client.expires_at > statement_timestamp(), true)
