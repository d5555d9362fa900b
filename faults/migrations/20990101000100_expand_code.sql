-- As for the tokens. One table a file: a migration holds its locks until its end.
SET lock_timeout = '50ms';

ALTER TABLE oauth_storage.authorization_code ADD COLUMN next_version text;
