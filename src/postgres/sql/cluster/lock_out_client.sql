-- Waits for every transaction that issues to the client.
SELECT pg_advisory_xact_lock($1)::text AS locked
