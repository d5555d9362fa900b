-- Deletes up to $1 expired device authorizations, and the grants of those whose tokens were never issued.
-- Locked rows stay for a later batch.
WITH device AS MATERIALIZED (
    SELECT ctid, grant_id
    FROM oauth_storage.device_authorization
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), ended AS MATERIALIZED (
    SELECT grant_id
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY (ARRAY (SELECT grant_id FROM device)) AND expires_at <= statement_timestamp()
), locked AS MATERIALIZED (
    SELECT ctid
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY (ARRAY (SELECT grant_id FROM ended)) AND expires_at <= statement_timestamp()
    FOR UPDATE SKIP LOCKED
), deleted_grant AS (
    DELETE FROM oauth_storage.authorization_grant
    WHERE ctid = ANY (ARRAY (SELECT ctid FROM locked))
    RETURNING grant_id
), held AS MATERIALIZED (
    -- A grant that is held, or was changed meanwhile, keeps its device authorization, so that the next batch
    -- finds it.
    SELECT grant_id FROM ended
    EXCEPT
    SELECT grant_id FROM deleted_grant
), deleted AS (
    DELETE FROM oauth_storage.device_authorization
    WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM device WHERE grant_id <> ALL (ARRAY (SELECT grant_id FROM held))
    ))
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM deleted) AS "device_authorizations!",
    (SELECT count(*) FROM deleted_grant) AS "grants!"
