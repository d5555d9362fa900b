-- The signing keys of an issuer, or of all.
SELECT
    issuer, alg, kid, CASE state WHEN 'n' THEN 'next' WHEN 'a' THEN 'active' ELSE 'retired' END AS "state!",
    created_at, activated_at, retired_at, expires_at, encryption_key_id
FROM oauth_storage.signing_key
WHERE issuer = coalesce($1, issuer)
ORDER BY issuer, alg, created_at
