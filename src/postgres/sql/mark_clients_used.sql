-- Writes the time of the last use of clients, at most once a day. A locked row is left for the next use.
WITH unmarked AS MATERIALIZED (
    SELECT client_id
    FROM oauth_storage.client
    WHERE client_id = ANY ($1::text[])
        AND coalesce(last_used_at <= statement_timestamp() - interval '1 day', true)
    ORDER BY client_id
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE oauth_storage.client AS row
SET last_used_at = statement_timestamp()
FROM unmarked
WHERE row.client_id = unmarked.client_id
