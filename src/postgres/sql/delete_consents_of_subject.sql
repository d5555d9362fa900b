-- Deletes the next consents of a subject. One row for each that was scanned, in the order of the clients. Locked
-- rows stay.
WITH scanned AS MATERIALIZED (
    SELECT client_id
    FROM oauth_storage.consent
    WHERE subject = $1 AND client_id > $2
    ORDER BY client_id
    LIMIT $3
), held AS MATERIALIZED (
    SELECT client_id
    FROM oauth_storage.consent
    WHERE subject = $1 AND client_id = ANY (ARRAY (SELECT client_id FROM scanned))
    ORDER BY client_id
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM oauth_storage.consent
    WHERE subject = $1 AND client_id = ANY (ARRAY (SELECT client_id FROM held))
)
SELECT client_id FROM scanned ORDER BY client_id
