-- Imports clients and remembered consents of Ory Hydra 26.x, after prepare.sql. docs/migrating.md says why not
-- the tokens. The tables hydra_client and hydra_oauth2_flow are found by the search_path. Setting, where the
-- database has several networks, which may have the same subjects:
--
--     SET import.nid = '…';                        -- the id in the table networks

DO $$
BEGIN
    IF (SELECT count(DISTINCT nid) FROM hydra_client) > 1 AND pg_temp.import_setting('nid', '') = '' THEN
        RAISE 'there are several networks, and their subjects may be equal: set import.nid';
    END IF;
END
$$;

INSERT INTO import_client
SELECT
    id, created_at AT TIME ZONE 'UTC', updated_at AT TIME ZONE 'UTC',
    -- PBKDF2 or bcrypt, which the crate does not verify.
    NULL,
    coalesce(nullif(token_endpoint_auth_method, ''), 'client_secret_basic'),
    ARRAY (SELECT jsonb_array_elements_text(redirect_uris)),
    -- The device flow and the like are the server's; what the crate has no name for is left out.
    ARRAY (
        SELECT value FROM jsonb_array_elements_text(grant_types) AS value
        WHERE value IN (
            'authorization_code', 'implicit', 'client_credentials', 'refresh_token', 'password',
            'urn:ietf:params:oauth:grant-type:jwt-bearer',
            'urn:ietf:params:oauth:grant-type:device_code'
        )
    ),
    -- Without those that need another grant type.
    ARRAY (
        SELECT value FROM jsonb_array_elements_text(response_types) AS value
        WHERE (value !~ 'code' OR grant_types ? 'authorization_code')
            AND (value !~ 'token' OR grant_types ? 'implicit')
    ),
    scope,
    -- Hydra writes '' and {} for what is absent.
    (
        SELECT coalesce(jsonb_object_agg(key, value), '{}')
        FROM jsonb_each(jsonb_build_object(
            'client_name', client_name, 'client_uri', client_uri, 'logo_uri', logo_uri,
            'tos_uri', tos_uri, 'policy_uri', policy_uri, 'contacts', contacts,
            'jwks_uri', jwks_uri,
            'jwks', CASE
                WHEN jsonb_typeof(nullif(jwks, '')::jsonb #> '{keys,0}') = 'object' THEN jwks::jsonb
            END,
            'owner', owner, 'audience', audience, 'allowed_cors_origins', allowed_cors_origins,
            'post_logout_redirect_uris', post_logout_redirect_uris, 'request_uris', request_uris,
            'subject_type', subject_type, 'sector_identifier_uri', sector_identifier_uri,
            'userinfo_signed_response_alg', nullif(userinfo_signed_response_alg, 'none'),
            'request_object_signing_alg', request_object_signing_alg,
            'token_endpoint_auth_signing_alg', token_endpoint_auth_signing_alg,
            'frontchannel_logout_uri', frontchannel_logout_uri,
            'backchannel_logout_uri', backchannel_logout_uri,
            'frontchannel_logout_session_required', nullif(frontchannel_logout_session_required, false),
            'backchannel_logout_session_required', nullif(backchannel_logout_session_required, false),
            'skip_consent', nullif(skip_consent, false),
            'metadata', nullif(metadata, '')::jsonb
        ))
        WHERE value NOT IN ('""', '[]', '{}', 'null')
    )
FROM hydra_client
WHERE pg_temp.import_setting('nid', nid::text) = nid::text;

CALL pg_temp.import_clients();

-- What Hydra would skip the page for: FindGrantedAndRememberedConsentRequest, state 6 is "consent used". A consent
-- that ends (remember_for) stays behind, because consents here have no end.
INSERT INTO import_consent
SELECT
    subject, client_id, coalesce(consent_handled_at, requested_at) AT TIME ZONE 'UTC',
    (SELECT coalesce(string_agg(value, ' ' ORDER BY ordinality), '')
        FROM jsonb_array_elements_text(nullif(granted_scope, 'null')) WITH ORDINALITY)
FROM (
    SELECT DISTINCT ON (subject COLLATE "C", client_id COLLATE "C") *
    FROM hydra_oauth2_flow
    WHERE (state = 6 OR state IS NULL) AND NOT consent_skip AND consent_remember
        AND (expires_at IS NULL OR expires_at > now() AT TIME ZONE 'UTC')
        AND pg_temp.import_setting('nid', nid::text) = nid::text
    ORDER BY subject COLLATE "C", client_id COLLATE "C", requested_at DESC
) AS newest
-- A flow that failed has an error, as a JSON document.
WHERE expires_at IS NULL AND coalesce(consent_error, '') IN ('', '{}', 'null');

CALL pg_temp.import_consents();

SELECT * FROM import_stored;
SELECT * FROM import_rejected ORDER BY kind, id;
