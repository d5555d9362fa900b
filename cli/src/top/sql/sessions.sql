-- The sessions of the storage, and what the database has done.
SELECT
    clock_timestamp() AS "at!",
    count(*) FILTER (WHERE application_name = 'oauth-storage') AS "sessions!",
    count(*) FILTER (WHERE application_name = 'oauth-storage' AND state = 'active') AS "active!",
    count(*) FILTER (WHERE wait_event_type = 'Lock') AS "waiting!",
    (SELECT xact_commit FROM pg_catalog.pg_stat_database WHERE datname = current_database()) AS "commits!"
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
