-- Stores a key as the active one if there is none to follow, or else as the next one. No row if there is a
-- next one, or if another node has stored its key in the same moment.
INSERT INTO oauth_storage.signing_key
    (created_at, activated_at, state, issuer, kid, alg, encryption_key_id, ciphertext)
SELECT
    statement_timestamp(), CASE new.state WHEN 'a' THEN statement_timestamp() END, new.state,
    $1, $2, $3, $4, $5
FROM (
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM oauth_storage.signing_key
            WHERE issuer = $1 AND alg = $3 AND state IN ('a', 'n')
        ) THEN 'n'::"char"
        ELSE 'a'::"char"
    END
) AS new (state)
ON CONFLICT DO NOTHING
RETURNING state = 'a' AS "active!"
