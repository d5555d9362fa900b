-- A page of the consents of a subject, in the order of the clients.
SELECT client_id, scope, granted_at, updated_at
FROM oauth_storage.consent
WHERE subject = $1 AND client_id > $2
ORDER BY client_id
LIMIT $3
