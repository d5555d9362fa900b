-- Lets one transaction at a time store a credential that names no grant.
SELECT pg_advisory_xact_lock($1)::text AS locked
