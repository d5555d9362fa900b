-- The rights on the schema and its tables that a role lacks, and the tables whose rows a policy hides from it.
SELECT
    'the schema' AS "name!",
    'SCHEMA oauth_storage' AS "object!",
    quote_ident(role.rolname) AS "role!",
    ARRAY (
        SELECT 'USAGE' WHERE NOT has_schema_privilege(role.oid, 'oauth_storage', 'USAGE')
    ) AS "missing!",
    false AS "is_hidden!"
FROM pg_catalog.pg_roles AS role
WHERE role.rolname = $1::text
UNION ALL
SELECT
    class.relname::text,
    format('oauth_storage.%I', class.relname),
    quote_ident(role.rolname),
    ARRAY (
        SELECT name
        FROM unnest(
            CASE class.relname
                WHEN '_sqlx_migrations' THEN ARRAY['SELECT']
                ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
            END
        ) AS required (name)
        WHERE NOT has_table_privilege(role.oid, class.oid, name)
    ),
    -- As row_security_active, which only knows the role of this session.
    class.relrowsecurity
        AND NOT role.rolsuper
        AND NOT role.rolbypassrls
        AND (class.relforcerowsecurity OR NOT pg_has_role(role.oid, class.relowner, 'USAGE'))
FROM pg_catalog.pg_class AS class
CROSS JOIN pg_catalog.pg_roles AS role
WHERE class.relnamespace = to_regnamespace('oauth_storage') AND class.relkind IN ('r', 'p')
    AND role.rolname = $1::text
ORDER BY 1
