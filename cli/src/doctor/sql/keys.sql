-- The active signing keys.
SELECT issuer AS "issuer!", alg AS "alg!", kid AS "kid!", activated_at
FROM oauth_storage.signing_key
WHERE state = 'a'
ORDER BY issuer, alg
