-- Gives a client a new secret. The current one, and earlier ones whose overlap is running, stay valid;
-- without an overlap ($4) none does. No row if more than two would stay.
UPDATE oauth_storage.client
SET
    updated_at = statement_timestamp(),
    client_secret_hash = $2,
    client_secret_expires_at = statement_timestamp() + $3::bigint::float8 * interval '1 microsecond',
    previous_client_secret_hashes = ARRAY (
        SELECT valid.hash
        FROM UNNEST(
            pg_catalog.array_prepend(client_secret_hash, previous_client_secret_hashes),
            pg_catalog.array_prepend(
                least(
                    client_secret_expires_at,
                    statement_timestamp() + $4::bigint::float8 * interval '1 microsecond'
                ),
                previous_client_secrets_expire_at
            )
        ) WITH ORDINALITY AS valid (hash, expires_at, position)
        WHERE $4::bigint > 0 AND valid.hash IS NOT NULL AND valid.expires_at > statement_timestamp()
        ORDER BY valid.position
    ),
    previous_client_secrets_expire_at = ARRAY (
        SELECT valid.expires_at
        FROM UNNEST(
            pg_catalog.array_prepend(client_secret_hash, previous_client_secret_hashes),
            pg_catalog.array_prepend(
                least(
                    client_secret_expires_at,
                    statement_timestamp() + $4::bigint::float8 * interval '1 microsecond'
                ),
                previous_client_secrets_expire_at
            )
        ) WITH ORDINALITY AS valid (hash, expires_at, position)
        WHERE $4::bigint > 0 AND valid.hash IS NOT NULL AND valid.expires_at > statement_timestamp()
        ORDER BY valid.position
    )
WHERE client_id = $1
    AND deleted_at IS NULL
    AND token_endpoint_auth_method IN ('client_secret_basic', 'client_secret_post')
    AND (
        $4::bigint <= 0
        OR (
            SELECT count(*)
            FROM pg_catalog.unnest(previous_client_secrets_expire_at) AS previous (expires_at)
            WHERE previous.expires_at > statement_timestamp()
        ) < 2
    )
RETURNING
    client_id, client_id_issued_at, updated_at, disabled_at, deleted_at, expires_at, last_used_at,
    client_secret_expires_at, token_endpoint_auth_method, redirect_uris, grant_types,
    response_types, scope, details AS "details: Json<ClientDetails>"
