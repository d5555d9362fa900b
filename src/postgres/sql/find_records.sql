-- Records by digest that have not expired.
SELECT input.position AS "position!", record.value::text AS value, record.version, record.expires_at
FROM UNNEST($1::uuid[], $2::uuid[]) WITH ORDINALITY AS input (digest, tail, position)
JOIN oauth_storage.record ON record.digest = input.digest
    AND record.digest_tail = input.tail
    AND record.expires_at > statement_timestamp()
