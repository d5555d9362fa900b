-- Finds out if a client has a live grant, by the index of the scans of a client.
SELECT EXISTS (
    SELECT
    FROM oauth_storage.authorization_grant
    WHERE hashtextextended(client_id, 0::bigint) = hashtextextended($1, 0::bigint)
        AND client_id = $1
        AND revoked_at IS NULL
        AND expires_at > statement_timestamp()
) AS "exists!"
