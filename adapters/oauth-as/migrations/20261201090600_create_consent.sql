-- Consents, at most one for each client and subject.
CREATE TABLE oauth_as.consent (
    consent  uuid  NOT NULL,
    client   uuid  NOT NULL,
    subject  uuid  NOT NULL,
    document bytea NOT NULL,

    CONSTRAINT consent_pkey PRIMARY KEY (consent),
    CONSTRAINT consent_client_subject UNIQUE (client, subject)
);

-- The list of a subject's consents.
CREATE INDEX consent_subject ON oauth_as.consent (subject);

COMMENT ON TABLE oauth_as.consent IS
    'Consents of subjects to clients.';
COMMENT ON COLUMN oauth_as.consent.consent IS
    'The hash of the identifier of the consent.';
COMMENT ON COLUMN oauth_as.consent.client IS
    'The hash of the client identifier.';
COMMENT ON COLUMN oauth_as.consent.subject IS
    'The hash of the subject.';
COMMENT ON COLUMN oauth_as.consent.document IS
    'The record as JSON.';
