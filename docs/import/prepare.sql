-- What the import scripts share. Run it before one of them, in the same session; docs/migrating.md has
-- the commands. All it creates is temporary, except the rows that the two procedures store.
--
-- A script fills the staging tables import_client, import_grant, import_token and import_consent, and calls
-- the procedures import_clients, import_grants and import_consents. These refuse what the crate would
-- refuse, and list it in import_rejected.
--
-- Grants and consents are stored in batches that commit each, a grant with all its tokens. A run that was cut
-- off is continued by running everything again: what is stored already stays as it is. Settings:
--
--     SET import.batch = '10000';                  -- grants, or consents, in a transaction; this is the default
--     SET import.commit = 'off';                   -- for a rehearsal in a transaction of your own
--     SET import.tokens = 'off';                   -- only the clients

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
    scope      text,
    -- The SHA-256 where the other project stores that instead of the token.
    hash       bytea
);

CREATE TEMP TABLE import_consent (
    subject    text,
    client_id  text,
    granted_at timestamptz,
    scope      text
);

CREATE TEMP TABLE import_rejected (kind text, id text, reason text);

CREATE TEMP TABLE import_stored (kind text, count bigint);

-- The setting import.NAME of this session.
CREATE FUNCTION pg_temp.import_setting(name text, fallback text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(nullif(current_setting('import.' || name, true), ''), fallback)
$$;

CREATE FUNCTION pg_temp.import_batch() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    batch bigint := pg_temp.import_setting('batch', '10000');
BEGIN
    IF batch < 1 THEN
        RAISE 'import.batch is %, and must be at least 1', batch;
    END IF;
    RETURN batch;
END
$$;

-- Tokens separated by single spaces, each once, in their order. Null for characters that are not
-- allowed in a scope (RFC 6749 A.4), and for one that is longer than the crate accepts.
CREATE FUNCTION pg_temp.import_scope(scope text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN scope COLLATE "C" ~ '^[ -~]*$' AND scope !~ '["\\]' THEN (
            SELECT CASE
                WHEN count(*) <= 100 AND coalesce(sum(length(token) + 1), 0) <= 4097
                THEN coalesce(string_agg(token, ' ' ORDER BY position), '')
            END
            FROM (
                SELECT token, min(position) AS position
                FROM string_to_table(scope, ' ') WITH ORDINALITY AS part (token, position)
                WHERE token <> ''
                GROUP BY token
            ) AS distinct_token
        )
    END
$$;

-- A SHA-256 is stored in two halves, as Secret::digest computes it.
CREATE FUNCTION pg_temp.import_digest(hash bytea) RETURNS uuid LANGUAGE sql AS $$
    SELECT encode(substr(hash, 1, 16), 'hex')::uuid
$$;
CREATE FUNCTION pg_temp.import_digest_tail(hash bytea) RETURNS uuid LANGUAGE sql AS $$
    SELECT encode(substr(hash, 17, 16), 'hex')::uuid
$$;

-- Reports a count at the end.
CREATE PROCEDURE pg_temp.import_report(kind text, count bigint) LANGUAGE sql AS $$
    INSERT INTO import_stored VALUES (kind, count)
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
        (CASE WHEN pg_temp.import_scope(scope) IS NULL THEN 'scope: characters or length' END),
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
    CALL pg_temp.import_report('client', stored);

    -- Nothing is issued to a client without this row.
    INSERT INTO oauth_storage.client_lock (client_id)
    SELECT client_id FROM import_client JOIN oauth_storage.client USING (client_id)
    ON CONFLICT DO NOTHING;
END
$$;

-- Stores the staged grants that have an active token, with their tokens that have not expired. A grant and
-- its tokens are one transaction, so a grant of which any token is stored was imported before.
CREATE PROCEDURE pg_temp.import_grants() LANGUAGE plpgsql AS $$
DECLARE
    batch  bigint := pg_temp.import_batch();
    commits boolean := pg_temp.import_setting('commit', 'on');
    first  bigint := 1;
    last   bigint;
    stored bigint;
    grants bigint := 0;
    tokens bigint := 0;
BEGIN
    IF NOT pg_temp.import_setting('tokens', 'on')::boolean THEN
        RETURN;
    END IF;

    ANALYZE import_grant, import_token;
    -- There are few scopes, and many tokens.
    CREATE TEMP TABLE import_scope_map AS
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
        (CASE WHEN parsed IS NULL THEN 'scope: characters or length' END)
    ) AS checked (reason)
    WHERE reason IS NOT NULL;

    CREATE TEMP TABLE import_live AS
    SELECT DISTINCT ON (sha256)
        grant_key, kind, issued_at, expires_at, rotated_at, parsed, pg_temp.import_digest(sha256) AS digest,
        pg_temp.import_digest_tail(sha256) AS digest_tail
    FROM import_token
    LEFT JOIN import_scope_map USING (scope)
    CROSS JOIN LATERAL (SELECT coalesce(hash, sha256(convert_to(token, 'UTF8'))) AS sha256) AS hashed
    WHERE expires_at > now()
        AND (hash IS NOT NULL OR octet_length(token) <= 16384 AND token COLLATE "C" ~ '^[ -~]+$')
        AND NOT EXISTS (SELECT FROM import_rejected WHERE import_rejected.kind = 'grant' AND id = grant_key)
    -- A refresh token that was spent and issued again is active.
    ORDER BY sha256, rotated_at DESC NULLS FIRST;
    CREATE INDEX ON import_live (grant_key);
    ANALYZE import_live;

    CREATE TEMP TABLE import_found AS
    SELECT DISTINCT grant_key FROM import_live JOIN oauth_storage.token USING (digest);

    CREATE TEMP TABLE import_ready AS
    SELECT
        row_number() OVER (ORDER BY grant_id) AS position, grant_id, key, client_id, subject, parsed AS scope,
        context, granted_at, expires_at
    FROM import_grant
    JOIN import_scope_map USING (scope)
    JOIN (
        SELECT grant_key, min(issued_at) AS granted_at, max(expires_at) AS expires_at
        FROM import_live
        GROUP BY grant_key
        HAVING bool_or(rotated_at IS NULL)
    ) AS live ON grant_key = key
    CROSS JOIN LATERAL (SELECT pg_temp.import_grant_id(granted_at, key) AS grant_id) AS identified
    WHERE NOT EXISTS (SELECT FROM import_found WHERE grant_key = key)
        AND NOT EXISTS (
            SELECT FROM oauth_storage.authorization_grant AS other WHERE other.grant_id = identified.grant_id
        );
    CREATE INDEX ON import_ready (position);
    ANALYZE import_ready;

    SELECT coalesce(max(position), 0) INTO last FROM import_ready;
    WHILE first <= last LOOP
        -- Nothing is stored for a client after it was disabled, as in create_token.sql.
        PERFORM FROM oauth_storage.client_lock
        WHERE client_id IN (SELECT client_id FROM import_ready WHERE position BETWEEN first AND first + batch - 1)
        ORDER BY client_id
        FOR SHARE;

        INSERT INTO oauth_storage.token (
            issued_at, expires_at, rotated_at, grant_id, kind, digest, digest_tail, scope
        )
        SELECT
            issued_at, live.expires_at, rotated_at, grant_id, kind, digest, digest_tail,
            nullif(live.parsed, ready.scope)
        FROM import_ready AS ready
        JOIN import_live AS live ON grant_key = key
        JOIN oauth_storage.client USING (client_id)
        WHERE position BETWEEN first AND first + batch - 1 AND disabled_at IS NULL
        ORDER BY digest;
        GET DIAGNOSTICS stored = ROW_COUNT;
        tokens := tokens + stored;

        INSERT INTO oauth_storage.authorization_grant (
            granted_at, expires_at, grant_id, client_id, subject, scope, context
        )
        SELECT granted_at, ready.expires_at, grant_id, client_id, subject, ready.scope, context
        FROM import_ready AS ready
        JOIN oauth_storage.client USING (client_id)
        WHERE position BETWEEN first AND first + batch - 1 AND disabled_at IS NULL
        ORDER BY grant_id;
        GET DIAGNOSTICS stored = ROW_COUNT;
        grants := grants + stored;

        first := first + batch;
        IF commits THEN
            COMMIT;
        END IF;
    END LOOP;

    CALL pg_temp.import_report('grant', grants);
    CALL pg_temp.import_report('token', tokens);
    SELECT count(*) INTO stored FROM import_found;
    CALL pg_temp.import_report('grant that was stored before', stored);
    DROP TABLE import_scope_map, import_live, import_found, import_ready;
END
$$;

-- Stores the staged consents; of several for the same subject and client the newest. One that exists stays
-- as it is.
CREATE PROCEDURE pg_temp.import_consents() LANGUAGE plpgsql AS $$
DECLARE
    batch    bigint := pg_temp.import_batch();
    commits  boolean := pg_temp.import_setting('commit', 'on');
    first    bigint := 1;
    last     bigint;
    stored   bigint;
    consents bigint := 0;
BEGIN
    IF NOT pg_temp.import_setting('tokens', 'on')::boolean THEN
        RETURN;
    END IF;

    CREATE TEMP TABLE import_allowed_consent AS
    SELECT row_number() OVER (ORDER BY subject COLLATE "C", client_id COLLATE "C") AS position, newest.*
    FROM (
        SELECT DISTINCT ON (subject COLLATE "C", client_id COLLATE "C")
            subject, client_id, granted_at, pg_temp.import_scope(scope) AS scope
        FROM import_consent
        WHERE subject <> '' AND octet_length(subject) <= 255 AND subject !~ '[[:cntrl:]]'
        ORDER BY subject COLLATE "C", client_id COLLATE "C", granted_at DESC
    ) AS newest
    WHERE scope IS NOT NULL;
    CREATE INDEX ON import_allowed_consent (position);
    ANALYZE import_allowed_consent;

    SELECT coalesce(max(position), 0) INTO last FROM import_allowed_consent;
    WHILE first <= last LOOP
        PERFORM FROM oauth_storage.client_lock
        WHERE client_id IN (
            SELECT client_id FROM import_allowed_consent WHERE position BETWEEN first AND first + batch - 1
        )
        ORDER BY client_id
        FOR SHARE;

        INSERT INTO oauth_storage.consent (granted_at, updated_at, subject, client_id, scope)
        SELECT granted_at, granted_at, subject, client_id, allowed.scope
        FROM import_allowed_consent AS allowed
        JOIN oauth_storage.client USING (client_id)
        WHERE position BETWEEN first AND first + batch - 1 AND disabled_at IS NULL
        ORDER BY subject COLLATE "C", client_id
        ON CONFLICT (subject, client_id) DO NOTHING;
        GET DIAGNOSTICS stored = ROW_COUNT;
        consents := consents + stored;

        first := first + batch;
        IF commits THEN
            COMMIT;
        END IF;
    END LOOP;

    CALL pg_temp.import_report('consent', consents);
    DROP TABLE import_allowed_consent;
END
$$;
