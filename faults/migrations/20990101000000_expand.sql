-- The next version's first step, made up for the fault suite: columns that the version before does
-- not know.
--
-- The lock is held for a moment, but who waits for it holds up everybody behind. So it is waited
-- for no longer than any request may be held up, and then the migration is run again.
SET lock_timeout = '50ms';

ALTER TABLE oauth_storage.token
    ADD COLUMN next_version text,
    ADD COLUMN next_version_flag boolean NOT NULL DEFAULT false;
