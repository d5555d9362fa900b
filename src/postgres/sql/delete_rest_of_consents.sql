-- Deletes the consents of a subject ($1), or for a client ($2, $3), that were locked until now: few, so a wait
-- here holds few locks. In the order of add_consents.sql.
WITH held AS MATERIALIZED (
    SELECT subject, client_id
    FROM oauth_storage.consent
    WHERE subject = $1
        OR client_id = $2
        AND EXISTS (SELECT FROM oauth_storage.client WHERE client_id = $2 AND deleted_at = $3)
    ORDER BY subject, client_id
    FOR UPDATE OF consent
)
DELETE FROM oauth_storage.consent AS row
USING held
WHERE row.subject = held.subject AND row.client_id = held.client_id
