-- The first step of the next version, made up for the fault suite: columns that the previous version
-- does not know.
--
-- The lock itself is short, but a waiting migration blocks every later request for the table. So it
-- waits at most 50 ms, fails, and is run again.
SET lock_timeout = '50ms';

ALTER TABLE oauth_storage.token
    ADD COLUMN next_version text,
    ADD COLUMN next_version_flag boolean NOT NULL DEFAULT false;
