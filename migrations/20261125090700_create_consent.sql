-- What a subject allowed a client, remembered beyond the grants that came of it.
CREATE TABLE oauth_storage.consent (
    granted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    scope      text        NOT NULL,

    CONSTRAINT consent_pkey PRIMARY KEY (subject, client_id)
) WITH (fillfactor = 90);

-- For the deletion of a client.
CREATE INDEX consent_client_id ON oauth_storage.consent (client_id, subject);

COMMENT ON TABLE oauth_storage.consent IS
    'The scope that a subject allowed a client.';
COMMENT ON COLUMN oauth_storage.consent.granted_at IS
    'Time of the first consent.';
COMMENT ON COLUMN oauth_storage.consent.updated_at IS
    'Time of the last consent.';
COMMENT ON COLUMN oauth_storage.consent.subject IS
    'The subject that consented.';
COMMENT ON COLUMN oauth_storage.consent.client_id IS
    'The client that is allowed.';
COMMENT ON COLUMN oauth_storage.consent.scope IS
    'Everything that was allowed so far.';
