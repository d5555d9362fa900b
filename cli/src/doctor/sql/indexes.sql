-- Each index: whether it can be used, and its size beside the rows of its table.
SELECT
    index.relname::text AS "index!",
    owner.relname::text AS "table!",
    pg_index.indisvalid AND pg_index.indisready AS "is_valid!",
    pg_relation_size(index.oid) AS "bytes!",
    greatest(owner.reltuples, 0)::float8 AS "rows!"
FROM pg_catalog.pg_index
JOIN pg_catalog.pg_class AS index ON index.oid = pg_index.indexrelid
JOIN pg_catalog.pg_class AS owner ON owner.oid = pg_index.indrelid
WHERE owner.relnamespace = to_regnamespace('oauth_storage') AND owner.relkind = 'r'
ORDER BY index.relname
