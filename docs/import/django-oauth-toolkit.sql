-- Imports applications, access tokens and refresh tokens of django-oauth-toolkit 3.0, after prepare.sql.
-- The tables oauth2_provider_* are found by the search_path. Settings:
--
--     SET import.scope = 'read write';             -- the keys of SCOPES; required
--     SET import.refresh_lifetime = '30 days';     -- from now, for refresh tokens; this is the default

INSERT INTO import_client
SELECT
    client_id, created, updated,
    -- A Django hash by Argon2PasswordHasher is "argon2" and the PHC string. No other hash is portable.
    CASE
        WHEN client_type = 'confidential' AND client_secret LIKE 'argon2$argon2id$%'
        THEN substr(client_secret, 7)
    END,
    CASE client_type WHEN 'public' THEN 'none' ELSE 'client_secret_basic' END,
    array_remove(regexp_split_to_array(redirect_uris, '\s+'), ''),
    CASE authorization_grant_type
        WHEN 'authorization-code' THEN ARRAY['authorization_code', 'refresh_token']
        WHEN 'implicit' THEN ARRAY['implicit']
        WHEN 'password' THEN ARRAY['password', 'refresh_token']
        WHEN 'client-credentials' THEN ARRAY['client_credentials']
        WHEN 'openid-hybrid' THEN ARRAY['authorization_code', 'implicit', 'refresh_token']
        ELSE '{}'
    END,
    CASE authorization_grant_type
        WHEN 'authorization-code' THEN ARRAY['code']
        WHEN 'implicit' THEN ARRAY['token', 'id_token', 'id_token token']
        WHEN 'openid-hybrid' THEN ARRAY['code id_token', 'code token', 'code id_token token']
        ELSE '{}'
    END,
    current_setting('import.scope'),
    jsonb_strip_nulls(jsonb_build_object(
        'client_name', nullif(name, ''),
        'post_logout_redirect_uris',
        to_jsonb(nullif(array_remove(regexp_split_to_array(post_logout_redirect_uris, '\s+'), ''), '{}')),
        'allowed_origins',
        to_jsonb(nullif(array_remove(regexp_split_to_array(allowed_origins, '\s+'), ''), '{}')),
        'skip_authorization', nullif(skip_authorization, false)
    ))
FROM oauth2_provider_application;

CALL pg_temp.import_clients();

-- A refresh token has no scope and no end of its own: the scope is that of its access token, and the end is
-- import.refresh_lifetime from now. One whose access token was deleted has no scope on record and stays behind.
INSERT INTO import_token
SELECT
    coalesce(token_family::text, 'refresh ' || refresh.id), 'r', refresh.token, refresh.created,
    now() + pg_temp.import_setting('refresh_lifetime', '30 days')::interval, NULL, access.scope
FROM oauth2_provider_refreshtoken AS refresh
JOIN oauth2_provider_accesstoken AS access ON access.id = refresh.access_token_id
WHERE refresh.revoked IS NULL;

-- A revoked refresh token of a family that continues was rotated, so its reuse must revoke the grant.
INSERT INTO import_token
SELECT
    token_family::text, 'r', token, created,
    now() + pg_temp.import_setting('refresh_lifetime', '30 days')::interval, revoked, NULL
FROM oauth2_provider_refreshtoken
WHERE revoked IS NOT NULL AND token_family IS NOT NULL;

INSERT INTO import_token
SELECT
    coalesce(
        own.token_family::text, 'refresh ' || own.id, source.token_family::text,
        'access ' || access.id
    ),
    'a', access.token, access.created, access.expires, NULL, access.scope
FROM oauth2_provider_accesstoken AS access
LEFT JOIN oauth2_provider_refreshtoken AS own ON own.access_token_id = access.id
LEFT JOIN oauth2_provider_refreshtoken AS source ON source.id = access.source_refresh_token_id
-- Tokens that a resource server cached belong to no application.
WHERE access.application_id IS NOT NULL;

-- A family has one client, one user, and the scope of its newest refresh token.
INSERT INTO import_grant
SELECT DISTINCT ON (grant_key COLLATE "C")
    grant_key, application.client_id, owned.user_id::text, coalesce(staged.scope, ''), NULL
FROM import_token AS staged
JOIN (
    SELECT token, application_id, user_id FROM oauth2_provider_refreshtoken
    UNION ALL
    SELECT token, application_id, user_id FROM oauth2_provider_accesstoken
) AS owned USING (token)
JOIN oauth2_provider_application AS application ON application.id = owned.application_id
ORDER BY grant_key COLLATE "C", rotated_at DESC NULLS FIRST, kind DESC, issued_at DESC;

CALL pg_temp.import_grants();

SELECT * FROM import_stored;
SELECT * FROM import_rejected ORDER BY kind, id;
