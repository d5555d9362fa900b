-- The predecessor, if it is still the row that was compared, and no revocation covers its grant.
WITH spent AS (
    UPDATE oauth_as.refresh_token SET
        client = $3,
        subject = $4,
        family = $5,
        expires_at = $6,
        document = $7,
        sealed = $8
    WHERE digest = $1 AND digest_tail = $2
        AND document = $9 AND sealed IS NOT DISTINCT FROM $10
        AND NOT oauth_as.is_revoked($11, $12, $13, $14)
    RETURNING digest
),
-- The access token.
access AS (
    INSERT INTO oauth_as.access_token
        (digest, digest_tail, client, subject, family, expires_at, document)
    SELECT $15, $16, $17, $18, $19, $20, $21 FROM spent
    ON CONFLICT (digest) DO UPDATE SET
        digest_tail = excluded.digest_tail,
        client = excluded.client,
        subject = excluded.subject,
        family = excluded.family,
        expires_at = excluded.expires_at,
        document = excluded.document
),
-- The successor, if there is one.
successor AS (
    INSERT INTO oauth_as.refresh_token
        (digest, digest_tail, client, subject, family, expires_at, document, sealed)
    SELECT $22::uuid, $23::uuid, $24::uuid, $25::uuid, $26::uuid, $27::bigint, $28::bytea, $29::bytea
    FROM spent WHERE $22::uuid IS NOT NULL
    ON CONFLICT (digest) DO UPDATE SET
        digest_tail = excluded.digest_tail,
        client = excluded.client,
        subject = excluded.subject,
        family = excluded.family,
        expires_at = excluded.expires_at,
        document = excluded.document,
        sealed = excluded.sealed
)
SELECT EXISTS (SELECT FROM spent) AS "rotated!"
