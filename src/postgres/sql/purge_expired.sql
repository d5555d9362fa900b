-- Deletes up to $1 expired tokens and as many expired codes, and those of their grants that have
-- ended. Rows that are locked, for example by another purge, stay for a later batch.
WITH token AS MATERIALIZED (
    -- The index goes by ten seconds; a row stays until its own moment. A locked row does not move,
    -- so its ctid names it.
    SELECT ctid, grant_id
    FROM oauth_storage.token
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), code AS MATERIALIZED (
    SELECT ctid, grant_id
    FROM oauth_storage.authorization_code
    WHERE date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00') <= statement_timestamp()
        AND expires_at <= statement_timestamp()
    ORDER BY date_bin(interval '10 seconds', expires_at, timestamptz '2000-01-01 00:00:00+00')
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), ended AS MATERIALIZED (
    SELECT grant_id
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY (ARRAY (SELECT grant_id FROM token UNION SELECT grant_id FROM code))
        AND expires_at <= statement_timestamp()
), locked AS MATERIALIZED (
    SELECT ctid
    FROM oauth_storage.authorization_grant
    WHERE grant_id = ANY (ARRAY (SELECT grant_id FROM ended))
        AND expires_at <= statement_timestamp()
    FOR UPDATE SKIP LOCKED
), deleted_grant AS (
    DELETE FROM oauth_storage.authorization_grant
    WHERE ctid = ANY (ARRAY (SELECT ctid FROM locked))
    RETURNING grant_id
), held AS MATERIALIZED (
    -- A grant that ended and is held, or was changed meanwhile, keeps its credentials, so that the next batch
    -- finds it by them.
    SELECT grant_id FROM ended
    EXCEPT
    SELECT grant_id FROM deleted_grant
), deleted_token AS (
    DELETE FROM oauth_storage.token
    WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM token WHERE grant_id <> ALL (ARRAY (SELECT grant_id FROM held))
    ))
    RETURNING 1
), deleted_code AS (
    DELETE FROM oauth_storage.authorization_code
    WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM code WHERE grant_id <> ALL (ARRAY (SELECT grant_id FROM held))
    ))
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM deleted_token) AS "tokens!",
    (SELECT count(*) FROM deleted_code) AS "authorization_codes!",
    (SELECT count(*) FROM deleted_grant) AS "grants!",
    (SELECT count(*) FROM token) AS "tokens_seen!",
    (SELECT count(*) FROM code) AS "authorization_codes_seen!"
