-- Deletes the next consents of a subject, and returns their clients. Locked rows stay, as does one that was
-- changed meanwhile.
WITH held AS MATERIALIZED (
    -- A locked row does not move, so its ctid names it.
    SELECT ctid, client_id
    FROM oauth_storage.consent
    WHERE subject = $1 AND client_id > $2
    ORDER BY client_id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM oauth_storage.consent WHERE ctid = ANY (ARRAY (SELECT ctid FROM held))
)
SELECT client_id FROM held ORDER BY client_id
