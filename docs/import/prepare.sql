-- What the import scripts share. Run it before one of them, in the same session; docs/migrating.md has
-- the commands. All it creates is temporary, except the rows that the two procedures store.
--
-- A script fills the staging tables import_client, import_grant and import_token, and calls the
-- procedures import_clients and import_grants. These refuse what the crate would refuse, and list it
-- in import_rejected.

CREATE TEMP TABLE import_client AS
    SELECT
        client_id, client_id_issued_at, updated_at, client_secret_hash, token_endpoint_auth_method,
        redirect_uris, grant_types, response_types, scope, details
    FROM oauth_storage.client
    WITH NO DATA;

-- The key stands for whatever the other project groups the tokens of an authorization by.
CREATE TEMP TABLE import_grant (
    key       text PRIMARY KEY,
    client_id text,
    subject   text,
    scope     text,
    context   jsonb
);

CREATE TEMP TABLE import_token (
    grant_key  text,
    kind       "char",
    token      text,
    issued_at  timestamptz,
    expires_at timestamptz,
    rotated_at timestamptz,
    scope      text
);

CREATE TEMP TABLE import_rejected (kind text, id text, reason text);

CREATE TEMP TABLE import_stored (kind text, count bigint);

-- The setting import.NAME of this session.
CREATE FUNCTION pg_temp.import_setting(name text, fallback text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(nullif(current_setting('import.' || name, true), ''), fallback)
$$;

-- Tokens separated by single spaces, each once, in their order. Null for characters that are not
-- allowed in a scope (RFC 6749 A.4).
CREATE FUNCTION pg_temp.import_scope(scope text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN scope COLLATE "C" ~ '^[ -~]*$' AND scope !~ '["\\]' THEN coalesce((
            SELECT string_agg(token, ' ' ORDER BY position)
            FROM (
                SELECT token, min(position) AS position
                FROM string_to_table(scope, ' ') WITH ORDINALITY AS part (token, position)
                WHERE token <> ''
                GROUP BY token
            ) AS distinct_token
        ), '')
    END
$$;

-- The two halves of the SHA-256, as Secret::digest computes it.
CREATE FUNCTION pg_temp.import_digest(token text) RETURNS uuid LANGUAGE sql AS $$
    SELECT encode(substr(sha256(convert_to(token, 'UTF8')), 1, 16), 'hex')::uuid
$$;
CREATE FUNCTION pg_temp.import_digest_tail(token text) RETURNS uuid LANGUAGE sql AS $$
    SELECT encode(substr(sha256(convert_to(token, 'UTF8')), 17, 16), 'hex')::uuid
$$;

-- A UUIDv7 of that time. list_grants sorts by it, the newest first. The other bits come from the key,
-- so that every run gives a grant the same identifier.
CREATE FUNCTION pg_temp.import_grant_id(granted_at timestamptz, key text) RETURNS uuid LANGUAGE sql AS $$
    SELECT overlay(
        overlay(
            substr(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 1, 32) PLACING '8' FROM 17 FOR 1
        ) PLACING lpad(to_hex((extract(epoch FROM granted_at) * 1000)::bigint), 12, '0') || '7'
        FROM 1 FOR 13
    )::uuid
$$;

-- The rules of src/redirect_uri.rs: absolute, without fragment, user and dot segments; http only to the same
-- machine; another scheme only with a period.
CREATE FUNCTION pg_temp.import_accepts_redirect_uri(uri text) RETURNS boolean LANGUAGE sql AS $$
    SELECT octet_length(uri) <= 2048
        AND uri COLLATE "C" ~ '^[!-~]+$'
        AND uri !~ '[\\"<>^`{|}#]'
        AND uri ~* '^(https?|[a-z][a-z0-9+-]*\.[a-z0-9+.-]*):'
        AND uri !~ '^[^/?]*://[^/?]*[@*]'
        AND uri !~* '^[^?]*/(\.|%2e){1,2}([/?]|$)'
        AND (uri !~* '^https:' OR uri ~* '^https://[a-z0-9._-]+(:[1-9][0-9]{0,4})?([/?]|$)')
        AND (
            uri !~* '^http:'
            OR uri ~* '^http://(localhost|127(\.(0|[1-9][0-9]{0,2})){3}|\[::1\])(:[1-9][0-9]{0,4})?([/?]|$)'
        )
$$;

-- Stores the staged clients, but for those whose redirect URIs, types, name or keys ClientMetadata::check would
-- refuse. It checks more: run it over the imported clients as well. A client that exists stays as it is.
CREATE PROCEDURE pg_temp.import_clients() LANGUAGE plpgsql AS $$
DECLARE
    stored bigint;
BEGIN
    INSERT INTO import_rejected
    SELECT 'client', client_id, reason
    FROM import_client
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN client_id COLLATE "C" !~ '^[ -~]+$' OR octet_length(client_id) > 255
            THEN 'client_id: characters or length' END),
        (CASE WHEN token_endpoint_auth_method NOT IN (
            'none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt',
            'tls_client_auth', 'self_signed_tls_client_auth'
        ) THEN 'token_endpoint_auth_method: ' || token_endpoint_auth_method END),
        (CASE WHEN cardinality(grant_types) = 0 THEN 'grant_types: none is supported' END),
        (CASE WHEN grant_types @> ARRAY['client_credentials'] AND token_endpoint_auth_method = 'none'
            THEN 'grant_types: a public client cannot use client_credentials' END),
        (CASE WHEN grant_types && ARRAY['authorization_code', 'implicit']
            AND cardinality(redirect_uris) = 0 THEN 'redirect_uris: none' END),
        (CASE WHEN details ->> 'client_name'
            ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]'
            THEN 'client_name: invisible characters' END),
        (CASE WHEN details ->> 'jwks' ~ '"(d|k|p|q|dp|dq|qi|oth)"\s*:' THEN 'jwks: a private key' END),
        (CASE WHEN cardinality(redirect_uris) > 100 THEN 'redirect_uris: more than 100' END),
        ((
            SELECT 'redirect_uris: ' || min(uri)
            FROM unnest(redirect_uris) AS uri
            WHERE NOT pg_temp.import_accepts_redirect_uri(uri)
        )),
        ((
            SELECT 'response_types: ' || min(response_type)
            FROM unnest(response_types) AS response_type
            WHERE response_type !~ '^(none|(code|id_token|token)( (code|id_token|token))*)$'
                OR response_type ~ 'code' AND NOT grant_types @> ARRAY['authorization_code']
                OR response_type ~ 'token' AND NOT grant_types @> ARRAY['implicit']
        )),
        (CASE WHEN pg_temp.import_scope(scope) IS NULL OR octet_length(scope) > 4096
            THEN 'scope: characters or length' END),
        ((
            SELECT 'details: ' || min(key)
            FROM jsonb_each_text(details)
            WHERE key IN ('client_uri', 'logo_uri', 'tos_uri', 'policy_uri', 'jwks_uri')
                AND value !~ '^https?://'
        )),
        (CASE WHEN details ? 'jwks' AND details ? 'jwks_uri' THEN 'details: jwks and jwks_uri' END),
        (CASE WHEN octet_length(details::text) > 65536 THEN 'details: length' END)
    ) AS checked (reason)
    WHERE reason IS NOT NULL;

    INSERT INTO import_rejected
    SELECT 'client', client_id, 'kept: it is registered already'
    FROM import_client
    JOIN oauth_storage.client USING (client_id);

    INSERT INTO oauth_storage.client (
        client_id, client_id_issued_at, updated_at, client_secret_hash, token_endpoint_auth_method,
        redirect_uris, grant_types, response_types, scope, details
    )
    SELECT
        client_id, client_id_issued_at, updated_at, client_secret_hash, token_endpoint_auth_method,
        redirect_uris, grant_types, response_types, pg_temp.import_scope(scope), details
    FROM import_client
    WHERE client_id NOT IN (SELECT id FROM import_rejected WHERE kind = 'client');
    GET DIAGNOSTICS stored = ROW_COUNT;
    INSERT INTO import_stored VALUES ('client', stored);

    -- Nothing is issued to a client without this row.
    INSERT INTO oauth_storage.client_lock (client_id)
    SELECT client_id FROM import_client JOIN oauth_storage.client USING (client_id)
    ON CONFLICT DO NOTHING;
END
$$;

-- Stores the staged grants that have an active token, with their tokens that have not expired. Not at all
-- with import.tokens = off.
CREATE PROCEDURE pg_temp.import_grants() LANGUAGE plpgsql AS $$
DECLARE
    stored bigint;
BEGIN
    IF pg_temp.import_setting('tokens', 'on') = 'off' THEN
        RETURN;
    END IF;

    ANALYZE import_grant, import_token;
    -- There are few scopes, and many tokens.
    CREATE TEMP TABLE import_scope_map ON COMMIT DROP AS
    SELECT scope, pg_temp.import_scope(scope) AS parsed
    FROM (SELECT scope FROM import_grant UNION SELECT scope FROM import_token) AS scopes;

    INSERT INTO import_rejected
    SELECT 'grant', key, reason
    FROM import_grant
    LEFT JOIN import_scope_map USING (scope)
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN NOT EXISTS (
            SELECT FROM oauth_storage.client
            WHERE client.client_id = import_grant.client_id AND client.disabled_at IS NULL
        ) THEN 'client_id: not imported' END),
        (CASE WHEN subject = '' OR octet_length(subject) > 255 OR subject ~ '[[:cntrl:]]'
            THEN 'subject: characters or length' END),
        (CASE WHEN parsed IS NULL OR octet_length(parsed) > 4096
            THEN 'scope: characters or length' END)
    ) AS checked (reason)
    WHERE reason IS NOT NULL;

    CREATE TEMP TABLE import_live ON COMMIT DROP AS
    SELECT DISTINCT ON (token COLLATE "C") import_token.*, parsed
    FROM import_token
    LEFT JOIN import_scope_map USING (scope)
    WHERE expires_at > now()
        AND octet_length(token) <= 16384
        AND token COLLATE "C" ~ '^[ -~]+$'
        AND grant_key NOT IN (SELECT id FROM import_rejected WHERE kind = 'grant')
    -- A refresh token that was spent and issued again is active.
    ORDER BY token COLLATE "C", rotated_at DESC NULLS FIRST;

    CREATE TEMP TABLE import_ready ON COMMIT DROP AS
    SELECT
        pg_temp.import_grant_id(granted_at, key) AS grant_id, key, client_id, subject,
        parsed AS scope, context, granted_at, expires_at
    FROM import_grant
    JOIN import_scope_map USING (scope)
    JOIN (
        SELECT grant_key, min(issued_at) AS granted_at, max(expires_at) AS expires_at
        FROM import_live
        GROUP BY grant_key
        HAVING bool_or(rotated_at IS NULL)
    ) AS live ON grant_key = key;
    ANALYZE import_live, import_ready;

    INSERT INTO oauth_storage.authorization_grant (
        granted_at, expires_at, grant_id, client_id, subject, scope, context
    )
    SELECT granted_at, expires_at, grant_id, client_id, subject, scope, context
    FROM import_ready;
    GET DIAGNOSTICS stored = ROW_COUNT;
    INSERT INTO import_stored VALUES ('grant', stored);

    INSERT INTO oauth_storage.token (
        issued_at, expires_at, rotated_at, grant_id, kind, digest, digest_tail, scope
    )
    SELECT
        issued_at, live.expires_at, rotated_at, grant_id, kind, pg_temp.import_digest(token),
        pg_temp.import_digest_tail(token),
        nullif(live.parsed, ready.scope)
    FROM import_live AS live
    JOIN import_ready AS ready ON grant_key = key;
    GET DIAGNOSTICS stored = ROW_COUNT;
    INSERT INTO import_stored VALUES ('token', stored);
END
$$;
