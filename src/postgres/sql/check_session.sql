-- What a new session has of the settings that decisions rely on.
SELECT
    current_setting('transaction_isolation') AS "isolation!",
    current_setting('synchronous_commit') AS "synchronous_commit!",
    current_setting('server_encoding') AS "encoding!",
    -- Where this is another schema, it can shadow operators and functions.
    coalesce((current_schemas(true))[1] = 'pg_catalog', true) AS "catalog_first!",
    -- Rows that a policy hides would be taken for rows that are not there.
    (
        SELECT relname::text
        FROM pg_catalog.pg_class
        WHERE relnamespace = to_regnamespace('oauth_storage') AND relkind IN ('r', 'p')
            AND row_security_active(pg_class.oid)
        LIMIT 1
    ) AS hidden_in,
    -- Of the database, not of the server: the library may be loaded for another one.
    to_regproc('pg_catalog.run_command_on_all_nodes') IS NOT NULL AS "is_cluster!"
