-- Waits for a consent of a subject ($1), or for a client ($2, $3), that is locked, and holds nothing else
-- meanwhile. No row if there is none left.
SELECT true AS "found!"
FROM oauth_storage.consent
WHERE subject = $1
    OR client_id = $2
    AND EXISTS (SELECT FROM oauth_storage.client WHERE client_id = $2 AND deleted_at = $3)
LIMIT 1
FOR UPDATE OF consent
