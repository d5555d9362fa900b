-- Registered clients. The key is a hash of the identifier, because any text can be an identifier, NUL included.
CREATE TABLE oauth_as.client (
    client   uuid  NOT NULL,
    document bytea NOT NULL,
    sealed   bytea,

    CONSTRAINT client_pkey PRIMARY KEY (client)
);

COMMENT ON TABLE oauth_as.client IS
    'Registered clients.';
COMMENT ON COLUMN oauth_as.client.client IS
    'The hash of the client identifier. Other tables refer to the client by it.';
COMMENT ON COLUMN oauth_as.client.document IS
    'The record as JSON, without its authentication.';
COMMENT ON COLUMN oauth_as.client.sealed IS
    'The authentication of the client (JSON), sealed; null for a public client.';
