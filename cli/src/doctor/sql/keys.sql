-- The active signing keys.
SELECT issuer AS "issuer!", alg AS "alg!", activated_at
FROM oauth_storage.signing_key
WHERE state = 'a'
ORDER BY issuer, alg
