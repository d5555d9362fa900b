-- Deletes the next consents for a client, while this deletion of the client ($4) is unfinished: later ones are
-- for another client of the same name. One row for each that was scanned, in the order of the subjects. Locked
-- rows stay.
WITH scanned AS MATERIALIZED (
    SELECT subject
    FROM oauth_storage.consent
    WHERE client_id = $1 AND subject > $2
        AND EXISTS (SELECT FROM oauth_storage.client WHERE client_id = $1 AND deleted_at = $4)
    ORDER BY subject
    LIMIT $3
), held AS MATERIALIZED (
    SELECT subject
    FROM oauth_storage.consent
    WHERE client_id = $1 AND subject = ANY (ARRAY (SELECT subject FROM scanned))
    ORDER BY subject
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM oauth_storage.consent
    WHERE client_id = $1 AND subject = ANY (ARRAY (SELECT subject FROM held))
)
SELECT subject FROM scanned ORDER BY subject
