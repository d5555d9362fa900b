-- Moves the end of a grant of a client that is not revoked, which locks it until the transaction ends.
-- With a refresh token ($3, $4), unless that needs the scope offline_access ($6), or without one ($5).
UPDATE oauth_storage.authorization_grant
SET
    expires_at = greatest(
        expires_at,
        CASE
            WHEN $6::boolean AND strpos(' ' || scope || ' ', ' offline_access ') = 0 THEN $5
            ELSE $3::timestamptz
        END
    ),
    refresh_expires_at = coalesce(
        refresh_expires_at,
        CASE
            WHEN $6::boolean AND strpos(' ' || scope || ' ', ' offline_access ') = 0 THEN NULL
            ELSE $4::timestamptz
        END
    )
WHERE grant_id = $1 AND client_id = $2 AND revoked_at IS NULL
RETURNING subject, scope, context::text AS context
