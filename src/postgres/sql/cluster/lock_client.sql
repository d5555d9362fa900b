-- Makes disabling the client wait for this transaction. An advisory lock, because a row lock would
-- make the coordinator write a commit of its own, and wait for its disk.
SELECT pg_advisory_xact_lock_shared($1)::text AS locked
