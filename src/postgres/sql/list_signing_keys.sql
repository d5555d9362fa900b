-- The keys of an issuer that belong into its JWK set, newest first.
SELECT
    kid, alg, state::text AS "state!", created_at, activated_at, retired_at, expires_at,
    encryption_key_id, ciphertext
FROM oauth_storage.signing_key
WHERE issuer = $1 AND (expires_at IS NULL OR expires_at > statement_timestamp())
ORDER BY created_at DESC, kid
