-- Clients, with their metadata in the terms of RFC 7591.
--
-- Metadata that an endpoint decides by has a column of its own. The rest is one JSON object, so new
-- metadata needs no migration.
--
-- Identifiers are compared byte by byte in every database locale: COLLATE "C".
CREATE TABLE oauth_storage.client (
    client_id                          text COLLATE "C" NOT NULL,
    client_id_issued_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                         timestamptz NOT NULL DEFAULT now(),
    disabled_at                        timestamptz,
    deleted_at                         timestamptz,
    expires_at                         timestamptz,
    last_used_at                       timestamptz,
    client_secret_hash                 text,
    client_secret_expires_at           timestamptz,
    previous_client_secret_hashes      text[]        NOT NULL DEFAULT '{}',
    previous_client_secrets_expire_at  timestamptz[] NOT NULL DEFAULT '{}',
    registration_access_token_hash     text,
    token_endpoint_auth_method         text        NOT NULL,
    redirect_uris                      text[]      NOT NULL,
    grant_types                        text[]      NOT NULL,
    response_types                     text[]      NOT NULL,
    scope                              text        NOT NULL,
    details                            jsonb       NOT NULL,

    CONSTRAINT client_pkey PRIMARY KEY (client_id),
    CONSTRAINT client_id_length CHECK (octet_length(client_id) BETWEEN 1 AND 255),
    CONSTRAINT client_deleted_disabled CHECK (deleted_at IS NULL OR disabled_at IS NOT NULL),
    CONSTRAINT client_details_object CHECK (jsonb_typeof(details) = 'object'),
    CONSTRAINT client_previous_secrets_paired CHECK (
        pg_catalog.cardinality(previous_client_secret_hashes)
            = pg_catalog.cardinality(previous_client_secrets_expire_at)
        AND pg_catalog.cardinality(previous_client_secret_hashes) <= 2
    ),
    -- A plaintext secret cannot be stored by mistake.
    CONSTRAINT client_secret_hashed CHECK (
        client_secret_hash ~ '^(sha256:|\$argon2id\$)'
        AND pg_catalog.array_to_string(previous_client_secret_hashes, E'\n')
            ~ '^((sha256:|\$argon2id\$)[^\n]*(\n|$))*$'
        AND registration_access_token_hash ~ '^sha256:'
    )
);

COMMENT ON TABLE oauth_storage.client IS
    'Registered clients (RFC 7591).';
COMMENT ON COLUMN oauth_storage.client.client_id IS
    'The client identifier (RFC 6749 2.2).';
COMMENT ON COLUMN oauth_storage.client.client_id_issued_at IS
    'Time of registration.';
COMMENT ON COLUMN oauth_storage.client.updated_at IS
    'Time of the last change.';
COMMENT ON COLUMN oauth_storage.client.disabled_at IS
    'Start of the client being disabled: it is not found, and nothing is issued to it.';
COMMENT ON COLUMN oauth_storage.client.deleted_at IS
    'Start of the deletion. The client stays disabled, and its identifier taken, until its last grant is deleted.';
COMMENT ON COLUMN oauth_storage.client.expires_at IS
    'Expiry of the registration, after which the client counts as disabled and a purge deletes it; null for never.';
COMMENT ON COLUMN oauth_storage.client.last_used_at IS
    'Time of the last use, written at most once a day; null for never.';
COMMENT ON COLUMN oauth_storage.client.registration_access_token_hash IS
    'sha256:… of the token that manages the registration (RFC 7592); null for a client that did not register itself.';
COMMENT ON COLUMN oauth_storage.client.client_secret_hash IS
    'sha256:… of a generated secret, $argon2id$… of a chosen one; null for a client without a secret.';
COMMENT ON COLUMN oauth_storage.client.client_secret_expires_at IS
    'Expiry of the secret; null for never.';
COMMENT ON COLUMN oauth_storage.client.previous_client_secret_hashes IS
    'Earlier secrets that rotations left valid for an overlap, the newest first; at most two.';
COMMENT ON COLUMN oauth_storage.client.previous_client_secrets_expire_at IS
    'Expiry of each earlier secret, in the same order.';
COMMENT ON COLUMN oauth_storage.client.token_endpoint_auth_method IS
    'Client authentication method (RFC 7591 2); none for a public client.';
COMMENT ON COLUMN oauth_storage.client.redirect_uris IS
    'Registered redirect URIs, compared byte by byte.';
COMMENT ON COLUMN oauth_storage.client.grant_types IS
    'Grant types that the client may use.';
COMMENT ON COLUMN oauth_storage.client.response_types IS
    'Response types that the client may use.';
COMMENT ON COLUMN oauth_storage.client.scope IS
    'Widest scope that the client may request, tokens separated by single spaces.';
COMMENT ON COLUMN oauth_storage.client.details IS
    'The rest of the metadata under its RFC 7591 names: client_name, logo_uri, contacts, jwks …';
