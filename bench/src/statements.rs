//! One plain statement for one row, as an application would write it for the same tables. Each does
//! the same durable work as the storage. The subjects `sqlx-pool` and `pgbench` run them.
//!
//! Digests take two parameters, one for each half.

pub(crate) const GET_TOKEN: &str = r#"
SELECT token.grant_id, token.kind::text AS kind, g.client_id, g.subject,
    coalesce(token.scope, g.scope) AS scope, token.issued_at, token.expires_at, g.context,
    CASE
        WHEN token.revoked OR g.revoked_at IS NOT NULL THEN 'revoked'
        WHEN token.rotated_at IS NOT NULL THEN 'rotated'
        WHEN token.expires_at <= now() THEN 'expired'
        ELSE 'active'
    END AS state
FROM oauth_storage.token
JOIN oauth_storage.authorization_grant AS g ON g.grant_id = token.grant_id
WHERE token.digest = $1 AND token.digest_tail = $2 AND g.client_id = $3
"#;

pub(crate) const INTROSPECT: &str = r#"
SELECT token.grant_id, token.kind::text AS kind, g.client_id, g.subject,
    coalesce(token.scope, g.scope) AS scope, token.issued_at, token.expires_at, g.context
FROM oauth_storage.token
JOIN oauth_storage.authorization_grant AS g ON g.grant_id = token.grant_id
WHERE token.digest = $1 AND token.digest_tail = $2
    AND NOT token.revoked AND token.rotated_at IS NULL AND token.expires_at > now()
    AND g.revoked_at IS NULL
"#;

/// The identifier.
pub(crate) const CLAIM: &str = r#"
INSERT INTO oauth_storage.record (expires_at, kind, digest, digest_tail)
VALUES (now() + interval '1 minute', 'j', $1, $2)
ON CONFLICT (digest) DO NOTHING
"#;

/// Device code, client.
pub(crate) const POLL: &str = r#"
UPDATE oauth_storage.device_authorization AS device
SET
    polled_at = now(),
    poll_interval = CASE
        WHEN polled_at + poll_interval * interval '0.8 seconds' > now() THEN least(poll_interval + 5, 60)
        ELSE poll_interval
    END
WHERE digest = $1 AND digest_tail = $2 AND client_id = $3 AND state = 'p' AND expires_at > now()
RETURNING state::text
"#;

/// Grant, access token, refresh token, client, subject, scope.
pub(crate) const CREATE_TOKEN: &str = r#"
WITH owner AS (
    SELECT client_id FROM oauth_storage.client
    WHERE client_id = $6 AND disabled_at IS NULL
    FOR SHARE
), granted AS (
    INSERT INTO oauth_storage.authorization_grant
        (granted_at, expires_at, grant_id, client_id, subject, scope)
    SELECT now(), now() + interval '30 days', $1, client_id, $7, $8 FROM owner
    RETURNING grant_id
)
INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest, digest_tail)
SELECT now(), now() + new.lifetime, grant_id, new.kind, new.digest, new.tail
FROM granted CROSS JOIN (VALUES
    ('a'::"char", $2::uuid, $3::uuid, interval '1 hour'), ('r', $4, $5, interval '30 days')
) AS new (kind, digest, tail, lifetime)
RETURNING expires_at
"#;

/// Code, client, redirect URI, challenge, access token, refresh token.
pub(crate) const REDEEM: &str = r#"
WITH owner AS (
    SELECT client_id FROM oauth_storage.client
    WHERE client_id = $3 AND disabled_at IS NULL
    FOR SHARE
), code AS (
    UPDATE oauth_storage.authorization_code AS code SET consumed_at = now()
    FROM oauth_storage.authorization_grant AS g JOIN owner ON owner.client_id = g.client_id
    WHERE code.digest = $1 AND code.digest_tail = $2 AND code.redirect_uri = $4
        AND code.code_challenge = $5 AND code.consumed_at IS NULL AND code.expires_at > now()
        AND g.grant_id = code.grant_id AND g.revoked_at IS NULL
    RETURNING code.grant_id
), granted AS (
    UPDATE oauth_storage.authorization_grant AS g SET expires_at = now() + interval '30 days'
    FROM code WHERE g.grant_id = code.grant_id
    RETURNING g.grant_id, g.client_id, g.subject
), stored AS (
    INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest, digest_tail)
    SELECT now(), now() + new.lifetime, grant_id, new.kind, new.digest, new.tail
    FROM granted CROSS JOIN (VALUES
        ('a'::"char", $6::uuid, $7::uuid, interval '1 hour'), ('r', $8, $9, interval '30 days')
    ) AS new (kind, digest, tail, lifetime)
)
SELECT grant_id, client_id, subject FROM granted
"#;

/// Refresh token, client, new access token, new refresh token.
pub(crate) const ROTATE: &str = r#"
WITH owner AS (
    SELECT client_id FROM oauth_storage.client
    WHERE client_id = $3 AND disabled_at IS NULL
    FOR SHARE
), old AS (
    UPDATE oauth_storage.token SET rotated_at = now()
    FROM oauth_storage.authorization_grant AS g JOIN owner ON owner.client_id = g.client_id
    WHERE token.digest = $1 AND token.digest_tail = $2 AND token.kind = 'r'
        AND token.rotated_at IS NULL AND NOT token.revoked AND token.expires_at > now()
        AND g.grant_id = token.grant_id AND g.revoked_at IS NULL
    RETURNING token.grant_id, g.client_id, token.scope, token.expires_at
), stored AS (
    INSERT INTO oauth_storage.token
        (issued_at, expires_at, grant_id, kind, digest, digest_tail, scope)
    SELECT now(), least(now() + new.lifetime, expires_at), grant_id, new.kind, new.digest,
        new.tail, scope
    FROM old CROSS JOIN (VALUES
        ('a'::"char", $4::uuid, $5::uuid, interval '1 hour'), ('r', $6, $7, interval '100 years')
    ) AS new (kind, digest, tail, lifetime)
)
SELECT grant_id, client_id FROM old
"#;

/// Token, client.
pub(crate) const REVOKE_TOKEN: &str = r#"
WITH named AS (
    UPDATE oauth_storage.token SET revoked = true
    FROM oauth_storage.authorization_grant AS g
    WHERE token.digest = $1 AND token.digest_tail = $2
        AND g.grant_id = token.grant_id AND g.client_id = $3
    RETURNING token.grant_id
)
UPDATE oauth_storage.authorization_grant AS g SET revoked_at = now()
FROM named WHERE g.grant_id = named.grant_id AND g.revoked_at IS NULL
"#;

pub(crate) const GET_CLIENT: &str = r#"
SELECT client_id, client_id_issued_at, updated_at, token_endpoint_auth_method, redirect_uris,
    grant_types, response_types, scope, details, client_secret_hash
FROM oauth_storage.client
WHERE client_id = $1 AND disabled_at IS NULL
    AND (client_secret_expires_at IS NULL OR client_secret_expires_at > now())
"#;
