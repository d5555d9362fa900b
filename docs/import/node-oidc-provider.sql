-- Imports clients, grants, access tokens and refresh tokens of node-oidc-provider 9, after prepare.sql and a view
-- on the tables of your adapter; docs/migrating.md has some:
--
--     CREATE TEMP VIEW import_document (kind, id, document, consumed_at) AS …
--
-- kind: the name of the model; document: the payload as jsonb. Settings:
--
--     SET import.scope = 'openid offline_access';  -- for clients that have no scope of their own; required

INSERT INTO import_client
SELECT
    document ->> 'client_id',
    coalesce(to_timestamp((document ->> 'client_id_issued_at')::bigint), now()), now(),
    -- Plaintext, which SQL cannot hash by Argon2id. docs/migrating.md hashes it by the crate.
    NULL,
    coalesce(document ->> 'token_endpoint_auth_method', 'client_secret_basic'),
    ARRAY (SELECT jsonb_array_elements_text(document -> 'redirect_uris')),
    -- Grant types that the crate has no name for, such as that of CIBA, are left out.
    ARRAY (
        SELECT value
        FROM jsonb_array_elements_text(
            coalesce(document -> 'grant_types', '["authorization_code"]')
        ) AS value
        WHERE value IN (
            'authorization_code', 'implicit', 'client_credentials', 'refresh_token',
            'urn:ietf:params:oauth:grant-type:device_code'
        )
    ),
    ARRAY (SELECT jsonb_array_elements_text(coalesce(document -> 'response_types', '["code"]'))),
    coalesce(document ->> 'scope', current_setting('import.scope')),
    jsonb_strip_nulls(
        document - ARRAY[
            'client_id', 'client_secret', 'client_id_issued_at', 'client_secret_expires_at',
            'registration_access_token', 'registration_client_uri', 'token_endpoint_auth_method',
            'redirect_uris', 'grant_types', 'response_types', 'scope', 'updated_at', 'disabled_at',
            'deleted_at'
        ]
    )
FROM import_document
WHERE kind = 'Client';

CALL pg_temp.import_clients();

-- The scope of a Grant document is what the user agreed to, of OpenID and of each resource, without what was
-- rejected.
CREATE FUNCTION pg_temp.import_granted(document jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(part.scope, ' '), '')
    FROM (
        SELECT document #>> '{openid,scope}' AS scope
        UNION ALL
        SELECT value FROM jsonb_each_text(document -> 'resources')
    ) AS part
$$;
CREATE FUNCTION pg_temp.import_allowed(scope text, document jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(token, ' '), '')
    FROM string_to_table(pg_temp.import_scope(scope), ' ') AS token
    WHERE token = ANY (string_to_array(pg_temp.import_granted(document), ' '))
        AND token <> ALL (
            array_remove(string_to_array(pg_temp.import_granted(document -> 'rejected'), ' '), 'openid')
        )
$$;

-- Opaque tokens: the jti is the token. JWTs are not stored. A token that ends with the session of the browser
-- stays behind, because that session cannot be imported: its cookie is signed by the other server.
INSERT INTO import_token
SELECT
    staged.document ->> 'grantId', CASE staged.kind WHEN 'AccessToken' THEN 'a' ELSE 'r' END::"char",
    staged.document ->> 'jti', to_timestamp((staged.document ->> 'iat')::bigint),
    to_timestamp((staged.document ->> 'exp')::bigint),
    -- An adapter says when it was consumed, or only that it was.
    CASE
        WHEN staged.kind = 'RefreshToken' AND (staged.consumed_at IS NOT NULL OR staged.document ? 'consumed')
        THEN coalesce(staged.consumed_at, to_timestamp((staged.document ->> 'iat')::bigint))
    END,
    pg_temp.import_allowed(coalesce(staged.document ->> 'scope', ''), authorized.document)
FROM import_document AS staged
JOIN import_document AS authorized ON authorized.kind = 'Grant'
    AND authorized.id = staged.document ->> 'grantId'
    AND authorized.document ->> 'clientId' = staged.document ->> 'clientId'
    AND authorized.document ->> 'accountId' = staged.document ->> 'accountId'
    AND coalesce(to_timestamp((authorized.document ->> 'exp')::bigint) > now(), true)
WHERE staged.kind IN ('AccessToken', 'RefreshToken')
    AND staged.document ->> 'expiresWithSession' IS DISTINCT FROM 'true';

INSERT INTO import_token
SELECT
    'client ' || id, 'a', document ->> 'jti', to_timestamp((document ->> 'iat')::bigint),
    to_timestamp((document ->> 'exp')::bigint), NULL, coalesce(document ->> 'scope', '')
FROM import_document
WHERE kind = 'ClientCredentials';

-- A Grant document is shared by all sign-ins of a user through a client. Of the sign-ins' values the grant gets
-- those in which its tokens agree, and a token that is bound to a key makes the grant bound to it.
INSERT INTO import_grant
SELECT
    authorized.id, authorized.document ->> 'clientId', authorized.document ->> 'accountId',
    pg_temp.import_allowed(pg_temp.import_granted(authorized.document), authorized.document),
    nullif(jsonb_strip_nulls(jsonb_build_object(
        'nonce', CASE WHEN min(value.nonce) = max(value.nonce) THEN min(value.nonce) END,
        'auth_time', CASE
            WHEN min(value.auth_time) = max(value.auth_time)
            THEN to_char(to_timestamp(min(value.auth_time)) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        END,
        'acr', CASE WHEN min(value.acr) = max(value.acr) THEN min(value.acr) END,
        'amr', CASE WHEN min(value.amr) = max(value.amr) THEN min(value.amr)::jsonb END,
        'claims', CASE WHEN min(value.claims) = max(value.claims) THEN min(value.claims)::jsonb END,
        'resource', CASE
            WHEN min(value.resource) <> max(value.resource) THEN NULL
            WHEN jsonb_typeof(min(value.resource)::jsonb) = 'string' THEN jsonb_build_array(min(value.resource)::jsonb)
            ELSE min(value.resource)::jsonb
        END,
        'jkt', min(value.jkt),
        'x5t#S256', min(value.x5t)
    )), '{}')
FROM import_document AS authorized
JOIN import_document AS staged ON staged.kind IN ('AccessToken', 'RefreshToken')
    AND staged.document ->> 'grantId' = authorized.id
CROSS JOIN LATERAL (
    SELECT
        staged.document ->> 'nonce' AS nonce, (staged.document ->> 'authTime')::bigint AS auth_time,
        staged.document ->> 'acr' AS acr, staged.document ->> 'amr' AS amr,
        staged.document ->> 'claims' AS claims, (staged.document -> 'resource')::text AS resource,
        staged.document ->> 'jkt' AS jkt, staged.document ->> 'x5t#S256' AS x5t
) AS value
WHERE authorized.kind = 'Grant'
GROUP BY authorized.id, authorized.document
HAVING count(DISTINCT value.jkt) <= 1 AND count(DISTINCT value.x5t) <= 1;

INSERT INTO import_rejected
SELECT DISTINCT 'grant', grant_key, 'jkt, x5t#S256: its tokens are bound to several keys'
FROM import_token
WHERE grant_key NOT IN (SELECT key FROM import_grant) AND grant_key NOT LIKE 'client %';

INSERT INTO import_grant
SELECT
    'client ' || id, document ->> 'clientId', NULL, coalesce(document ->> 'scope', ''),
    nullif(jsonb_strip_nulls(jsonb_build_object(
        'jkt', document -> 'jkt', 'x5t#S256', document -> 'x5t#S256'
    )), '{}')
FROM import_document
WHERE kind = 'ClientCredentials';

CALL pg_temp.import_grants();

-- A Grant document is also what the user agreed to on the consent page.
INSERT INTO import_consent
SELECT
    document ->> 'accountId', document ->> 'clientId', to_timestamp((document ->> 'iat')::bigint),
    pg_temp.import_allowed(pg_temp.import_granted(document), document)
FROM import_document
WHERE kind = 'Grant' AND coalesce(to_timestamp((document ->> 'exp')::bigint) > now(), true);

CALL pg_temp.import_consents();

SELECT * FROM import_stored;
SELECT * FROM import_rejected ORDER BY kind, id;
