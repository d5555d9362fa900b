-- Sessions that others wait for.
SELECT
    blocking.pid AS "pid!", blocking.application_name AS application, blocking.state AS state,
    count(*) AS "waiting!", max(extract(epoch FROM now() - waiting.state_change))::float8 AS "seconds!"
FROM pg_catalog.pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocker (pid)
JOIN pg_catalog.pg_stat_activity AS blocking ON blocking.pid = blocker.pid
WHERE waiting.datname = current_database() AND waiting.wait_event_type = 'Lock'
GROUP BY blocking.pid, blocking.application_name, blocking.state
ORDER BY 5 DESC
