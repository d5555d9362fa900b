-- What keeps vacuum from removing dead rows: the oldest of each kind.
SELECT kind AS "kind!", name AS "name!", seconds AS "seconds!"
FROM (
    SELECT 'transaction' AS kind, format('pid %s (%s, %s)', pid, application_name, state) AS name,
        extract(epoch FROM now() - xact_start)::float8 AS seconds
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
    UNION ALL
    SELECT 'prepared transaction', gid, extract(epoch FROM now() - prepared)::float8
    FROM pg_catalog.pg_prepared_xacts
    WHERE database = current_database()
    UNION ALL
    -- Its age is known in transactions only.
    SELECT 'replication slot', slot_name::text, 0
    FROM pg_catalog.pg_replication_slots
    WHERE NOT active
) AS blocker
ORDER BY seconds DESC
LIMIT 20
