-- Deletes the consents of a subject ($1), or for a client ($2, $3), that were locked until now: few, so that
-- what waits here holds few.
DELETE FROM oauth_storage.consent
WHERE subject = $1
    OR client_id = $2
    AND EXISTS (SELECT FROM oauth_storage.client WHERE client_id = $2 AND deleted_at = $3)
