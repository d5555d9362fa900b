-- Imports applications, access tokens and refresh tokens of Doorkeeper 5.9 (Active Record), after prepare.sql. The
-- tables oauth_applications and oauth_access_tokens are found by the search_path. Settings:
--
--     SET import.scope = 'public write';           -- default_scopes and optional_scopes; required
--     SET import.token_storage = 'plain';          -- 'sha256' with hash_token_secrets, 'sha256 or plain' with its
--                                                  -- fallback: :plain; required
--     SET import.grant_types = 'authorization_code client_credentials refresh_token';  -- this is the default
--     SET import.lifetime = '30 days';             -- from now, for tokens without an end; this is the default
--     SET import.resource_owner_type = 'User';     -- the type whose tokens are imported, if they are polymorphic

DO $$
BEGIN
    IF current_setting('import.token_storage') NOT IN ('plain', 'sha256', 'sha256 or plain') THEN
        RAISE 'import.token_storage is plain, sha256, or sha256 or plain';
    END IF;
END
$$;

-- Doorkeeper allows each flow to every application. Here only what the application can use.
INSERT INTO import_client
SELECT
    uid, created_at AT TIME ZONE 'UTC', updated_at AT TIME ZONE 'UTC',
    -- Plaintext, SHA-256 or bcrypt. docs/migrating.md hashes plaintext by the crate.
    NULL,
    CASE WHEN confidential THEN 'client_secret_basic' ELSE 'none' END,
    uris,
    ARRAY (
        SELECT grant_type
        FROM string_to_table(
            pg_temp.import_setting('grant_types', 'authorization_code client_credentials refresh_token'), ' '
        ) AS grant_type
        WHERE (uris <> '{}' OR grant_type NOT IN ('authorization_code', 'implicit'))
            AND (confidential OR grant_type <> 'client_credentials')
    ),
    array_remove(ARRAY[
        CASE WHEN uris <> '{}' AND allows ~ '\mauthorization_code\M' THEN 'code' END,
        CASE WHEN uris <> '{}' AND allows ~ '\mimplicit\M' THEN 'token' END
    ], NULL),
    coalesce(nullif(scopes, ''), current_setting('import.scope')),
    jsonb_build_object('client_name', name)
FROM oauth_applications
CROSS JOIN LATERAL (
    SELECT
        array_remove(regexp_split_to_array(coalesce(redirect_uri, ''), '\s+'), '') AS uris,
        pg_temp.import_setting('grant_types', 'authorization_code client_credentials refresh_token') AS allows
) AS derived;

CALL pg_temp.import_clients();

-- Columns that not every installation has are read as JSON.
CREATE TEMP TABLE import_doorkeeper AS
SELECT
    access.id, uid AS client_id, resource_owner_id::text AS subject, token, nullif(refresh_token, '') AS refresh_token,
    nullif(to_jsonb(access) ->> 'previous_refresh_token', '') AS previous_refresh_token,
    to_jsonb(access) ->> 'resource_owner_type' AS resource_owner_type, coalesce(access.scopes, '') AS scope,
    access.created_at AT TIME ZONE 'UTC' AS created_at,
    access.created_at AT TIME ZONE 'UTC' + expires_in * interval '1 second' AS expires_at
FROM oauth_access_tokens AS access
JOIN oauth_applications AS application ON application.id = application_id
WHERE coalesce(revoked_at > now() AT TIME ZONE 'UTC', true);

DO $$
BEGIN
    IF (SELECT count(DISTINCT resource_owner_type) FROM import_doorkeeper) > 1
        AND pg_temp.import_setting('resource_owner_type', '') = ''
    THEN
        RAISE 'there are several types of resource owners, and their identifiers may be equal: set import.resource_owner_type';
    END IF;
END
$$;

INSERT INTO import_rejected
SELECT 'grant', id::text, 'resource_owner_type: ' || resource_owner_type
FROM import_doorkeeper
WHERE resource_owner_type <> pg_temp.import_setting('resource_owner_type', resource_owner_type);
DELETE FROM import_doorkeeper
WHERE resource_owner_type <> pg_temp.import_setting('resource_owner_type', resource_owner_type);
-- Each link of a chain of refreshes is looked up.
CREATE INDEX ON import_doorkeeper (previous_refresh_token);
ANALYZE import_doorkeeper;

-- A refresh makes a new row, which names the refresh token of the old one until the new access token is used.
-- Both are one grant. After that the old row is revoked, and nothing says to which grant it belonged.
CREATE TEMP TABLE import_family AS
WITH RECURSIVE family AS (
    SELECT id, id AS root, refresh_token
    FROM import_doorkeeper AS oldest
    WHERE NOT EXISTS (
        SELECT FROM import_doorkeeper AS previous WHERE previous.refresh_token = oldest.previous_refresh_token
    )
    UNION ALL
    SELECT next.id, root, next.refresh_token
    FROM family
    JOIN import_doorkeeper AS next ON next.previous_refresh_token = family.refresh_token
)
SELECT id, 'token ' || root AS key, root FROM family;
ANALYZE import_family;

INSERT INTO import_grant
SELECT key, client_id, subject, scope, NULL
FROM import_family
JOIN import_doorkeeper USING (id)
WHERE id = root;

CREATE TEMP TABLE import_credential AS
SELECT
    key, 'a'::"char" AS kind, token AS stored, created_at,
    coalesce(expires_at, now() + pg_temp.import_setting('lifetime', '30 days')::interval) AS expires_at,
    NULL::timestamptz AS rotated_at, scope
FROM import_family
JOIN import_doorkeeper USING (id)
UNION ALL
SELECT
    key, 'r', refresh_token, created_at, now() + pg_temp.import_setting('lifetime', '30 days')::interval,
    refreshed.at, scope
FROM import_family
JOIN import_doorkeeper USING (id)
LEFT JOIN (
    SELECT previous_refresh_token, min(created_at) AS at FROM import_doorkeeper GROUP BY previous_refresh_token
) AS refreshed ON refreshed.previous_refresh_token = refresh_token
WHERE refresh_token IS NOT NULL;

-- What is not a SHA-256 was stored before hash_token_secrets, and Doorkeeper accepts it only with its fallback.
INSERT INTO import_rejected
SELECT 'grant', key, 'token: not a SHA-256, see import.token_storage'
FROM import_credential
WHERE current_setting('import.token_storage') = 'sha256' AND stored !~ '^[0-9a-f]{64}$';

INSERT INTO import_token (grant_key, kind, token, issued_at, expires_at, rotated_at, scope, hash)
SELECT
    key, kind, CASE WHEN NOT hashed THEN stored END, created_at, expires_at, rotated_at, scope,
    CASE WHEN hashed THEN decode(stored, 'hex') END
FROM import_credential
CROSS JOIN LATERAL (
    SELECT current_setting('import.token_storage') <> 'plain' AND stored ~ '^[0-9a-f]{64}$' AS hashed
) AS form;

CALL pg_temp.import_grants();

SELECT * FROM import_stored;
SELECT * FROM import_rejected ORDER BY kind, id;
