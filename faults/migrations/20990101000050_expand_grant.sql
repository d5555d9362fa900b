-- As for the tokens. One table per file, because a migration holds its locks until its end.
SET lock_timeout = '50ms';

ALTER TABLE oauth_storage.authorization_grant ADD COLUMN next_version text;
