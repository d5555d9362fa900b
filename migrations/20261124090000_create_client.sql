-- Clients, with their metadata in the terms of RFC 7591.
--
-- What an endpoint decides by has a column of its own; what the storage only keeps and gives back
-- is one JSON object, so that new metadata needs no migration.
--
-- Identifiers are compared byte by byte, in whatever locale the database is: COLLATE "C".
CREATE TABLE oauth_storage.client (
    client_id                         text COLLATE "C" NOT NULL,
    client_id_issued_at               timestamptz NOT NULL DEFAULT now(),
    updated_at                        timestamptz NOT NULL DEFAULT now(),
    disabled_at                       timestamptz,
    client_secret_hash                text,
    client_secret_expires_at          timestamptz,
    previous_client_secret_hash       text,
    previous_client_secret_expires_at timestamptz,
    token_endpoint_auth_method        text        NOT NULL,
    redirect_uris                     text[]      NOT NULL,
    grant_types                       text[]      NOT NULL,
    response_types                    text[]      NOT NULL,
    scope                             text        NOT NULL,
    details                           jsonb       NOT NULL,

    CONSTRAINT client_pkey PRIMARY KEY (client_id),
    CONSTRAINT client_id_length CHECK (octet_length(client_id) BETWEEN 1 AND 255),
    CONSTRAINT client_details_object CHECK (jsonb_typeof(details) = 'object'),
    -- A plaintext secret can't be stored by mistake.
    CONSTRAINT client_secret_hashed CHECK (
        client_secret_hash ~ '^(sha256:|\$argon2id\$)'
        AND previous_client_secret_hash ~ '^(sha256:|\$argon2id\$)'
    )
);

COMMENT ON TABLE oauth_storage.client IS
    'Registered clients (RFC 7591).';
COMMENT ON COLUMN oauth_storage.client.client_id IS
    'The client identifier (RFC 6749 2.2).';
COMMENT ON COLUMN oauth_storage.client.client_id_issued_at IS
    'When the client was registered.';
COMMENT ON COLUMN oauth_storage.client.updated_at IS
    'When the row was last changed.';
COMMENT ON COLUMN oauth_storage.client.disabled_at IS
    'Since when the client is disabled: it is not found, and nothing is issued to it.';
COMMENT ON COLUMN oauth_storage.client.client_secret_hash IS
    'sha256:… of a generated secret, $argon2id$… of a chosen one; null for a client without a secret.';
COMMENT ON COLUMN oauth_storage.client.client_secret_expires_at IS
    'When the secret ends; null for never.';
COMMENT ON COLUMN oauth_storage.client.previous_client_secret_hash IS
    'The secret before the last rotation.';
COMMENT ON COLUMN oauth_storage.client.previous_client_secret_expires_at IS
    'Until when the previous secret works, too.';
COMMENT ON COLUMN oauth_storage.client.token_endpoint_auth_method IS
    'How the client authenticates; none for a public client.';
COMMENT ON COLUMN oauth_storage.client.redirect_uris IS
    'Where a user agent may be sent; compared byte by byte.';
COMMENT ON COLUMN oauth_storage.client.grant_types IS
    'The grant types that the client may use.';
COMMENT ON COLUMN oauth_storage.client.response_types IS
    'The response types that the client may use.';
COMMENT ON COLUMN oauth_storage.client.scope IS
    'The widest scope that the client may ask for, its tokens parted by single spaces.';
COMMENT ON COLUMN oauth_storage.client.details IS
    'The rest of the metadata under its RFC 7591 names: client_name, logo_uri, contacts, jwks …';
