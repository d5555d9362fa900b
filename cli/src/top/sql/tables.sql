-- What has happened to the rows of each table since the statistics were reset.
SELECT
    relname::text AS "table!",
    coalesce(n_live_tup, 0) AS "rows!",
    coalesce(n_tup_ins, 0) AS "inserted!",
    coalesce(n_tup_upd, 0) AS "updated!",
    coalesce(n_tup_del, 0) AS "deleted!"
FROM pg_catalog.pg_stat_user_tables
WHERE schemaname = 'oauth_storage'
    AND relname IN (
        'authorization_code', 'authorization_grant', 'client', 'consent', 'device_authorization', 'record', 'token',
        'user_session'
    )
ORDER BY relname
