-- Replaces the ciphertext of a key, if it is still encrypted under $3.
UPDATE oauth_storage.signing_key
SET encryption_key_id = $4, ciphertext = $5
WHERE issuer = $1 AND kid = $2 AND encryption_key_id = $3
