-- The next grants of a client, in the order of their identifiers. With a time of deletion: none once
-- that registration is gone, so that a late deletion leaves a new registration alone.
SELECT grant_id, revoked_at IS NOT NULL AS "revoked!", true AS "matches!"
FROM oauth_storage.authorization_grant
WHERE hashtextextended(client_id, 0) = hashtextextended($1, 0)
    AND client_id = $1
    AND grant_id > $2
    AND (
        $4::timestamptz IS NULL
        OR EXISTS (
            SELECT FROM oauth_storage.client
            WHERE client.client_id = $1 AND client.deleted_at = $4
        )
    )
ORDER BY grant_id
LIMIT $3
