-- Size, dead rows and upkeep of each table.
SELECT
    class.relname::text AS "table!",
    pg_table_size(class.oid) AS "bytes!",
    pg_indexes_size(class.oid) AS "index_bytes!",
    coalesce(stat.n_live_tup, 0) AS "rows!",
    coalesce(stat.n_dead_tup, 0) AS "dead!",
    coalesce(stat.n_tup_upd, 0) AS "updates!",
    coalesce(stat.n_tup_hot_upd, 0) AS "hot_updates!",
    greatest(stat.last_vacuum, stat.last_autovacuum) AS vacuumed_at,
    greatest(stat.last_analyze, stat.last_autoanalyze) AS analyzed_at,
    age(class.relfrozenxid) AS "age!",
    'autovacuum_enabled=false' = ANY (coalesce(class.reloptions, '{}')) AS "is_switched_off!"
FROM pg_catalog.pg_class AS class
LEFT JOIN pg_catalog.pg_stat_user_tables AS stat ON stat.relid = class.oid
WHERE class.relnamespace = to_regnamespace('oauth_storage') AND class.relkind = 'r'
ORDER BY class.relname
