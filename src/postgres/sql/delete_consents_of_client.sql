-- Deletes up to $2 consents for a client, while this deletion of the client ($3) is unfinished: later ones
-- are for another client of the same name. Locked rows stay.
DELETE FROM oauth_storage.consent
WHERE ctid = ANY (ARRAY (
    SELECT ctid
    FROM oauth_storage.consent
    WHERE client_id = $1
        AND EXISTS (SELECT FROM oauth_storage.client WHERE client_id = $1 AND deleted_at = $3)
    LIMIT $2
    FOR UPDATE OF consent SKIP LOCKED
))
