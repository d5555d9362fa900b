-- Deletes the next consents for a client, and returns their subjects, while this deletion of the client ($4) is
-- unfinished: later consents are for another client of the same name. As delete_consents_of_subject.sql.
WITH held AS MATERIALIZED (
    SELECT ctid, subject
    FROM oauth_storage.consent
    WHERE client_id = $1 AND subject > $2
        AND EXISTS (SELECT FROM oauth_storage.client WHERE client_id = $1 AND deleted_at = $4)
    ORDER BY subject
    LIMIT $3
    FOR UPDATE OF consent SKIP LOCKED
), deleted AS (
    DELETE FROM oauth_storage.consent WHERE ctid = ANY (ARRAY (SELECT ctid FROM held))
)
SELECT subject FROM held ORDER BY subject
