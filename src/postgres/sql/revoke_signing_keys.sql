-- Deletes every key of an issuer ($1) and an algorithm ($3), and stores another one as active.
WITH locked AS MATERIALIZED (
    -- In the order of a rotation.
    SELECT kid
    FROM oauth_storage.signing_key
    WHERE issuer = $1 AND alg = $3
    ORDER BY kid
    FOR UPDATE
), revoked AS (
    DELETE FROM oauth_storage.signing_key
    WHERE issuer = $1 AND kid = ANY (ARRAY (SELECT kid FROM locked))
    RETURNING 1
), revocation AS MATERIALIZED (
    SELECT count(*) AS keys FROM revoked
), replacement AS (
    -- After the deletion, which it counts. Another node may have stored its key meanwhile.
    INSERT INTO oauth_storage.signing_key
        (created_at, activated_at, state, issuer, kid, alg, encryption_key_id, ciphertext)
    SELECT statement_timestamp(), statement_timestamp(), 'a', $1, $2, $3, $4, $5
    FROM revocation
    ON CONFLICT DO NOTHING
)
SELECT keys AS "keys!" FROM revocation
