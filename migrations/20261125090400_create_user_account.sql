-- The users of the shipped implementation of `authenticate`. An application that keeps its users
-- elsewhere leaves it empty.
CREATE TABLE oauth_storage.user_account (
    username      text COLLATE "C" NOT NULL,
    subject       text COLLATE "C" NOT NULL,
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    disabled_at   timestamptz,

    CONSTRAINT user_account_pkey PRIMARY KEY (username),
    CONSTRAINT user_account_subject_key UNIQUE (subject),
    -- A plaintext password can't be stored by mistake.
    CONSTRAINT user_account_password_hashed CHECK (password_hash LIKE '$argon2id$%')
);

COMMENT ON TABLE oauth_storage.user_account IS
    'Resource owners with a password, for the password grant (RFC 6749 4.3).';
COMMENT ON COLUMN oauth_storage.user_account.username IS
    'The name that the user types, in the form of RFC 8265 3.3 (UsernameCaseMapped).';
COMMENT ON COLUMN oauth_storage.user_account.subject IS
    'The stable identifier that grants carry.';
COMMENT ON COLUMN oauth_storage.user_account.password_hash IS
    'The Argon2id hash as a PHC string.';
COMMENT ON COLUMN oauth_storage.user_account.created_at IS
    'Time of creation.';
COMMENT ON COLUMN oauth_storage.user_account.updated_at IS
    'Time of the last change.';
COMMENT ON COLUMN oauth_storage.user_account.disabled_at IS
    'Start of the user being disabled; null if enabled.';
