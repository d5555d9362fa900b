-- The server, this session, and the role that is checked: that of the session by default.
SELECT
    current_setting('server_version') AS "version!",
    current_setting('server_version_num')::integer AS "version_number!",
    pg_is_in_recovery() AS "is_standby!",
    clock_timestamp() AS "now!",
    -- Null on a Unix socket.
    host(inet_server_addr()) AS address,
    coalesce(connection.ssl, false) AS "is_tls!",
    connection.version AS tls_version,
    role.rolname::text AS "role!",
    role.rolsuper AS "is_superuser!",
    -- A setting that this command sends when it connects, to see whether it arrives.
    current_setting('oauth_storage.doctor', true) IS NOT DISTINCT FROM 'on' AS "keeps_parameters!",
    current_setting('fsync')::boolean AS "fsync!",
    current_setting('full_page_writes')::boolean AS "full_page_writes!",
    current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean AS "autovacuum!",
    current_setting('max_connections')::bigint AS "max_connections!",
    (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS "connections!"
FROM pg_catalog.pg_roles AS role
LEFT JOIN pg_catalog.pg_stat_ssl AS connection ON connection.pid = pg_backend_pid()
WHERE role.rolname = coalesce($1::text, current_user)
