-- Deletes up to $2 consents of a subject. Locked rows stay.
DELETE FROM oauth_storage.consent
WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM oauth_storage.consent WHERE subject = $1 LIMIT $2 FOR UPDATE SKIP LOCKED
))
