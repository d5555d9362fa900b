-- The rights on tables of the schema that the role lacks, and the tables whose rows a policy hides from it.
SELECT
    relname::text AS "table!",
    ARRAY (
        SELECT name
        FROM unnest(
            CASE relname
                WHEN '_sqlx_migrations' THEN ARRAY['SELECT']
                ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
            END
        ) AS required (name)
        WHERE NOT has_table_privilege(class.oid, name)
    ) AS "missing!",
    row_security_active(class.oid) AS "is_hidden!"
FROM pg_catalog.pg_class AS class
WHERE relnamespace = to_regnamespace('oauth_storage') AND relkind IN ('r', 'p')
ORDER BY relname
