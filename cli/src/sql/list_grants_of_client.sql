-- Live grants of a client, in no order, up to a number.
SELECT grant_id
FROM oauth_storage.authorization_grant
WHERE hashtextextended(client_id, 0::bigint) = hashtextextended($1, 0::bigint) AND client_id = $1
    AND revoked_at IS NULL AND expires_at > statement_timestamp()
LIMIT $2
