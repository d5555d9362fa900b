//! The import scripts of `docs/import`, on rows as the other projects store them.

mod again;
mod consents;
mod doorkeeper;

use oauth_storage::client::{
    ClientSecret, ClientSecretRotation, GrantType, TokenEndpointAuthMethod,
};
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::{TokenKind, TokenRef, TokenState};
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, GrantStorage as _,
    GrantStorageExt as _, PgStorage, RequestContext, Secret, TokenStorage as _,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::TestStorage;

const PREPARE: &str = include_str!("../../docs/import/prepare.sql");
const DJANGO: &str = include_str!("../../docs/import/django-oauth-toolkit.sql");
const NODE: &str = include_str!("../../docs/import/node-oidc-provider.sql");
const HYDRA: &str = include_str!("../../docs/import/hydra.sql");

/// The columns that the script reads, of the migrations 0001 to 0012 of django-oauth-toolkit 3.0. The
/// rows are those that its views and validators stored, but for the times.
const DJANGO_ROWS: &str = "
    CREATE TABLE oauth2_provider_application (
        id bigint PRIMARY KEY, client_id varchar(100) NOT NULL UNIQUE, redirect_uris text NOT NULL,
        client_type varchar(32) NOT NULL, authorization_grant_type varchar(32) NOT NULL,
        client_secret varchar(255) NOT NULL, name varchar(255) NOT NULL, user_id integer,
        skip_authorization boolean NOT NULL, created timestamptz NOT NULL,
        updated timestamptz NOT NULL, algorithm varchar(5) NOT NULL,
        post_logout_redirect_uris text NOT NULL, hash_client_secret boolean NOT NULL,
        allowed_origins text NOT NULL
    );
    CREATE TABLE oauth2_provider_accesstoken (
        id bigint PRIMARY KEY, token text NOT NULL, expires timestamptz NOT NULL,
        scope text NOT NULL, application_id bigint, user_id integer, created timestamptz NOT NULL,
        source_refresh_token_id bigint UNIQUE, token_checksum varchar(64) NOT NULL UNIQUE
    );
    CREATE TABLE oauth2_provider_refreshtoken (
        id bigint PRIMARY KEY, token varchar(255) NOT NULL, access_token_id bigint UNIQUE,
        application_id bigint NOT NULL, user_id integer NOT NULL, created timestamptz NOT NULL,
        revoked timestamptz, token_family uuid, UNIQUE (token, revoked)
    );
    INSERT INTO oauth2_provider_application
    SELECT id, client_id, uris, type, grant_type, secret, name, 1, false, now(), now(), '', '', true, ''
    FROM (VALUES
        (1, 'web', 'https://web.example/cb https://web.example/cb2', 'confidential',
            'authorization-code', 'pbkdf2_sha256$1000000$Kq6Yw9jtVZ1l0PSWJc2q0W$IJd=', 'Web'),
        (2, 'argon', '', 'confidential', 'client-credentials',
            'argon2$argon2id$v=19$m=102400,t=2,p=8$TjdTRGRCVE9mRk9obGNzS2MwUmZXdw$0ZDGsH68Ahc0iEgKdGEyO9MKUAUtEPTu0vOGcrM0LbQ', ''),
        (3, 'spa', 'http://127.0.0.1/cb com.example.app:/cb', 'public', 'authorization-code', 'x', ''),
        (4, 'bad', 'http://intranet.example/cb', 'public', 'authorization-code', 'x', '')
    ) AS row (id, client_id, uris, type, grant_type, secret, name);
    INSERT INTO oauth2_provider_accesstoken
    SELECT
        id, token, now() + hours * interval '1 hour', scope, app, user_id,
        now() - interval '1 hour' + id * interval '1 minute', source,
        encode(sha256(convert_to(token, 'UTF8')), 'hex')
    FROM (VALUES
        (2, 's9hEKcajrip1F09SlLUoBThWwXLJjQ', 10, 'read write', 1, 1, 1),
        (3, 'gDSOKr7hZnD5oYv9yiqNcTFXuMcz76', 10, 'read', 1, 1, NULL),
        (5, 'K2nD4Al4dMjnDEpJWRhQ2uwB6VtJh8', 10, 'read', 4, 2, NULL),
        (9, 'hxoidUXAm17ar3vDyMdBFLPP6ejfl8', 10, 'write', 2, NULL, NULL),
        (10, 'old-access-token', -1, 'read', 3, 2, NULL)
    ) AS row (id, token, hours, scope, app, user_id, source);
    INSERT INTO oauth2_provider_refreshtoken
    SELECT
        id, token, access, app, user_id, now() - interval '1 hour' + id * interval '1 minute',
        revoked, family::uuid
    FROM (VALUES
        (1, 'XwFJIXDQ9ewtOOJoRMTiHAOoLSyGVD', NULL, 1, 1, now() - interval '30 minutes',
            '8135688c-0071-42f0-807a-2d9093611dbd'),
        (2, 'ENnWDdbnb5KF2RjPVNqv6BMoRyJ3Av', 2, 1, 1, NULL,
            '8135688c-0071-42f0-807a-2d9093611dbd'),
        (3, 'ad1yeMc3NN87QoCqbLE4TBuzmHpcvC', 3, 1, 1, NULL,
            'a2a61786-0785-4b4b-8b8c-6e42cd4f125b'),
        (5, 'lY4JkFAqnRyw4cQmowpYSEXFYAqwU1', 5, 4, 2, NULL,
            '59963ce8-8850-43b6-b2a1-cef2a51790ba'),
        (6, 'u4WNiLFjUCnDwng49Wu5rFg4bfsfje', NULL, 1, 2, now(),
            'e9141076-17cd-4e5e-964d-0298a1ce0c68'),
        (7, 'l5XdSD81sndHxGMkNjsCAE8aQfWSLw', NULL, 1, 2, now(),
            'e9141076-17cd-4e5e-964d-0298a1ce0c68'),
        (8, 'old-refresh-token', 10, 3, 2, NULL, NULL)
    ) AS row (id, token, access, app, user_id, revoked, family)";

async fn active(storage: &PgStorage, token: &str) -> Option<TokenKind> {
    storage.introspect(&Secret::new(token)).await.unwrap().map(|token| token.kind)
}

/// Runs a script after the rows and `prepare.sql`, as `psql -f` would.
async fn import(test: &TestStorage, rows: &str, setting: &str, script: &str) {
    test.sql(rows).await;
    run(test, &format!("SET import.scope = '{setting}'"), script).await.unwrap();
}

/// Runs a script after the settings and `prepare.sql`, in a session of its own. Each statement by itself, because a
/// procedure can commit only outside a transaction.
async fn run(test: &TestStorage, settings: &str, script: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(test.database.url()).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("{settings}; {PREPARE}"))).execute(&mut connection).await?;
    let mut statement = String::new();
    for line in script.lines() {
        statement.push_str(line);
        statement.push('\n');
        if line.ends_with(';') && statement.matches("$$").count().is_multiple_of(2) {
            let sql = AssertSqlSafe(std::mem::take(&mut statement));
            sqlx::raw_sql(sql).execute(&mut connection).await?;
        }
    }
    connection.close().await
}

async fn rotate(storage: &PgStorage, client_id: &str, token: &str) -> RotationOutcome {
    let rotation = TokenRotation::new(client_id, token);
    storage.rotate_refresh_token(&RequestContext::default(), rotation).await.unwrap()
}

#[tokio::test]
async fn tokens_of_django_oauth_toolkit_stay_valid() {
    let test = TestStorage::new("imports_django").await;
    let storage = &test.storage;
    import(&test, DJANGO_ROWS, "read write", DJANGO).await;

    let token = Secret::new("s9hEKcajrip1F09SlLUoBThWwXLJjQ");
    let token = storage.introspect(&token).await.unwrap().unwrap();
    assert_eq!((token.client_id.as_str(), token.subject.as_deref()), ("web", Some("1")));
    assert_eq!((token.kind, token.scope.as_str()), (TokenKind::Access, "read write"));
    for (token, kind) in [
        ("ENnWDdbnb5KF2RjPVNqv6BMoRyJ3Av", Some(TokenKind::Refresh)),
        ("ad1yeMc3NN87QoCqbLE4TBuzmHpcvC", Some(TokenKind::Refresh)),
        ("hxoidUXAm17ar3vDyMdBFLPP6ejfl8", Some(TokenKind::Access)),
        ("old-refresh-token", Some(TokenKind::Refresh)),
        ("old-access-token", None),               // expired
        ("K2nD4Al4dMjnDEpJWRhQ2uwB6VtJh8", None), // its client was refused
        ("l5XdSD81sndHxGMkNjsCAE8aQfWSLw", None), // its family was revoked
        ("XwFJIXDQ9ewtOOJoRMTiHAOoLSyGVD", None), // rotated
    ] {
        assert_eq!(active(storage, token).await, kind, "{token}");
    }
    let rotated = Secret::new("XwFJIXDQ9ewtOOJoRMTiHAOoLSyGVD");
    let request = RequestContext::default();
    let found = storage.get_token(&request, "web", TokenRef::Refresh(&rotated)).await.unwrap();
    assert_eq!(found.unwrap().state, TokenState::Rotated);

    // The newest sign-in first, which is how the crate's own grants are listed.
    let scopes = storage.list_all_grants("1").await.unwrap().into_iter().map(|grant| grant.scope);
    assert_eq!(scopes.map(|scope| scope.to_string()).collect::<Vec<_>>(), ["read", "read write"]);

    // A rotation continues the grant, and the reuse of a token that Django rotated ends it.
    let issued = match rotate(storage, "web", "ENnWDdbnb5KF2RjPVNqv6BMoRyJ3Av").await {
        RotationOutcome::Issued(issued) => issued.tokens.access_token,
        other => panic!("{other:?}"),
    };
    assert_eq!(active(storage, issued.expose()).await, Some(TokenKind::Access));
    let reused = rotate(storage, "web", "XwFJIXDQ9ewtOOJoRMTiHAOoLSyGVD").await;
    assert!(matches!(reused, RotationOutcome::Reused { .. }), "{reused:?}");
    for token in [issued.expose(), "s9hEKcajrip1F09SlLUoBThWwXLJjQ"] {
        assert_eq!(active(storage, token).await, None, "{token}");
    }
    assert!(active(storage, "ad1yeMc3NN87QoCqbLE4TBuzmHpcvC").await.is_some(), "another grant");
}

#[tokio::test]
async fn clients_of_django_oauth_toolkit_get_a_secret() {
    let test = TestStorage::new("imports_django_clients").await;
    let storage = &test.storage;
    test.sql(DJANGO_ROWS).await;
    let settings = "SET import.scope = 'read write'; SET import.tokens = 'off'";
    run(&test, settings, DJANGO).await.unwrap();
    let get = async |client_id: &str, secret: &str| {
        let (request, secret) = (RequestContext::default(), Secret::new(secret));
        storage.get_client(&request, client_id, Some(&secret)).await.unwrap()
    };

    assert!(get("argon", "argon-secret-123").await.is_some(), "an Argon2id hash is portable");
    assert!(get("argon", "argon-secret-124").await.is_none());
    assert!(storage.read_client("bad").await.unwrap().is_none());
    let web = storage.read_client("web").await.unwrap().unwrap().metadata;
    assert_eq!(web.redirect_uris, ["https://web.example/cb", "https://web.example/cb2"]);
    assert_eq!(web.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert_eq!(web.details.client_name.as_deref(), Some("Web"));
    web.check().unwrap();
    assert!(active(storage, "s9hEKcajrip1F09SlLUoBThWwXLJjQ").await.is_none(), "tokens are off");

    // Nobody authenticates until the client has a secret of this crate.
    for secret in ["web-secret-123456", ""] {
        assert!(get("web", secret).await.is_none(), "{secret:?}");
    }
    let chosen = ClientSecret::Chosen(Secret::new("web-secret-123456"));
    let rotation = ClientSecretRotation::new().with_client_secret(chosen);
    storage.rotate_client_secret("web", rotation).await.unwrap().unwrap();
    assert!(get("web", "web-secret-123456").await.is_some());

    // The second run leaves the clients alone and brings the tokens.
    run(&test, "SET import.scope = 'read'", DJANGO).await.unwrap();
    assert!(get("web", "web-secret-123456").await.is_some());
    assert!(active(storage, "s9hEKcajrip1F09SlLUoBThWwXLJjQ").await.is_some());
}

/// Documents as oidc-provider 9.13 gave them to its adapter.
const NODE_ROWS: &str = r#"
    CREATE TABLE oidc_payloads (kind text, id text, payload text, consumed boolean);
    INSERT INTO oidc_payloads
    SELECT
        kind, coalesce(document ->> 'jti', document ->> 'client_id'),
        document || CASE WHEN kind = 'Client' THEN '{}' ELSE jsonb_build_object(
            'kind', kind, 'iat', extract(epoch FROM now())::bigint,
            'exp', extract(epoch FROM now())::bigint + 3600
        ) END,
        consumed
    FROM (VALUES
        ('Client', false, '{"application_type":"web","grant_types":["authorization_code","refresh_token"],"id_token_signed_response_alg":"RS256","require_auth_time":false,"response_types":["code"],"subject_type":"public","token_endpoint_auth_method":"client_secret_basic","post_logout_redirect_uris":[],"client_id_issued_at":1796041968,"client_id":"web","client_name":"Web","client_secret_expires_at":0,"client_secret":"I_Eoawb6dAmv2zGjJDf9AGr0wghP9oTZQeqGbPdv0CU7","contacts":["a@web.example"],"redirect_uris":["https://web.example/cb"]}'),
        ('Client', false, '{"client_id":"jwt","token_endpoint_auth_method":"client_secret_jwt","client_secret":"TWhX","redirect_uris":["https://jwt.example/cb"]}'),
        ('Grant', false, '{"accountId":"alice","clientId":"web","jti":"aDXR4NKOPBAkQmh_nLf48Ags3WnVILizf3M4-eTA_3F","openid":{"scope":"openid offline_access"},"resources":{"https://api.example":"api:read api:write"},"rejected":{"resources":{"https://api.example":"api:write"}}}'),
        ('RefreshToken', true, '{"accountId":"alice","grantId":"aDXR4NKOPBAkQmh_nLf48Ags3WnVILizf3M4-eTA_3F","scope":"openid offline_access api:read api:write","nonce":"n-1","authTime":1790000000,"acr":"urn:acr","amr":["pwd"],"resource":"https://api.example","jti":"wDMLNjJeJ5hNzCKxdbPatBKnhMZ635EXvv9fAl6rRgM","clientId":"web"}'),
        ('RefreshToken', false, '{"accountId":"alice","grantId":"aDXR4NKOPBAkQmh_nLf48Ags3WnVILizf3M4-eTA_3F","scope":"openid offline_access api:read api:write","nonce":"n-1","authTime":1790000000,"acr":"urn:acr","amr":["pwd"],"resource":"https://api.example","rotations":1,"jti":"To-ETcnqdugMqgB0l99J1Z8fRqE7AjYZIHSv2ITLUYR","clientId":"web"}'),
        ('AccessToken', false, '{"accountId":"alice","grantId":"aDXR4NKOPBAkQmh_nLf48Ags3WnVILizf3M4-eTA_3F","scope":"openid offline_access","jti":"kGmNmdcLgSJk0z1cCM-7nfLuVSrHuNsez2Crcz9Rrcw","clientId":"web"}'),
        ('AccessToken', false, '{"accountId":"alice","grantId":"aDXR4NKOPBAkQmh_nLf48Ags3WnVILizf3M4-eTA_3F","scope":"openid","expiresWithSession":true,"jti":"d74W-EnYTJ25Bc3Fi_Pt1iEnNNVCCjMgHTU0bDfajmu","clientId":"web"}'),
        ('AccessToken', false, '{"accountId":"alice","grantId":"gone","scope":"openid","jti":"ESs1vX_jdkObdTpDiuYYo11-NTtZyUFm55CSHpqR7PG","clientId":"web"}')
    ) AS row (kind, consumed, document_text)
    CROSS JOIN LATERAL (SELECT document_text::jsonb AS document) AS parsed;
    CREATE VIEW import_document (kind, id, document, consumed_at) AS
    SELECT kind, id, payload::jsonb,
        CASE WHEN consumed THEN to_timestamp((payload::jsonb ->> 'iat')::bigint) - interval '1 hour' END
    FROM oidc_payloads"#;

#[tokio::test]
async fn tokens_of_node_oidc_provider_stay_valid() {
    let test = TestStorage::new("imports_node").await;
    let storage = &test.storage;
    import(&test, NODE_ROWS, "openid offline_access api:read", NODE).await;

    let web = storage.read_client("web").await.unwrap().unwrap().metadata;
    web.check().unwrap();
    assert_eq!(web.token_endpoint_auth_method, TokenEndpointAuthMethod::ClientSecretBasic);
    assert_eq!(web.details.contacts, ["a@web.example"]);
    assert!(storage.read_client("jwt").await.unwrap().is_none(), "needs a plaintext secret");

    let refresh_token = Secret::new("To-ETcnqdugMqgB0l99J1Z8fRqE7AjYZIHSv2ITLUYR");
    let token = storage.introspect(&refresh_token).await.unwrap().unwrap();
    assert_eq!(token.subject.as_deref(), Some("alice"));
    assert_eq!(token.scope.as_str(), "openid offline_access api:read", "without the rejected");
    assert_eq!(token.context.nonce.as_deref(), Some("n-1"));
    assert_eq!(token.context.auth_time.unwrap().timestamp(), 1_790_000_000);
    assert_eq!(token.context.resource, ["https://api.example"]);
    assert_eq!(token.context.amr, ["pwd"]);
    for (token, kind) in [
        ("kGmNmdcLgSJk0z1cCM-7nfLuVSrHuNsez2Crcz9Rrcw", Some(TokenKind::Access)),
        ("d74W-EnYTJ25Bc3Fi_Pt1iEnNNVCCjMgHTU0bDfajmu", None), // ends with a session
        ("ESs1vX_jdkObdTpDiuYYo11-NTtZyUFm55CSHpqR7PG", None), // its grant was destroyed
    ] {
        assert_eq!(active(storage, token).await, kind, "{token}");
    }
    let reused = rotate(storage, "web", "wDMLNjJeJ5hNzCKxdbPatBKnhMZ635EXvv9fAl6rRgM").await;
    assert!(matches!(reused, RotationOutcome::Reused { .. }), "{reused:?}");
    assert_eq!(active(storage, refresh_token.expose()).await, None);
}

/// The columns that the script reads, of the schema of Hydra 26.2.
const HYDRA_ROWS: &str = r#"
    CREATE TABLE hydra_client (
        id varchar(255) NOT NULL, client_name text NOT NULL DEFAULT '',
        client_secret text NOT NULL DEFAULT '$pbkdf2-sha256$i=25000,l=32$c2FsdA$a2V5',
        scope text NOT NULL DEFAULT 'openid photos.read', owner text NOT NULL DEFAULT '',
        policy_uri text NOT NULL DEFAULT '', tos_uri text NOT NULL DEFAULT '',
        client_uri text NOT NULL DEFAULT '', logo_uri text NOT NULL DEFAULT '',
        sector_identifier_uri text NOT NULL DEFAULT '', jwks text NOT NULL DEFAULT '{}',
        jwks_uri text NOT NULL DEFAULT '',
        token_endpoint_auth_method varchar(25) NOT NULL DEFAULT 'client_secret_basic',
        request_object_signing_alg varchar(10) NOT NULL DEFAULT '',
        userinfo_signed_response_alg varchar(10) NOT NULL DEFAULT 'none',
        subject_type varchar(15) NOT NULL DEFAULT 'public',
        created_at timestamp NOT NULL DEFAULT '2024-01-02 03:04:05',
        updated_at timestamp NOT NULL DEFAULT '2024-01-02 03:04:05',
        frontchannel_logout_uri text NOT NULL DEFAULT '',
        frontchannel_logout_session_required boolean NOT NULL DEFAULT false,
        backchannel_logout_uri text NOT NULL DEFAULT '',
        backchannel_logout_session_required boolean NOT NULL DEFAULT false,
        metadata text NOT NULL DEFAULT '{}',
        token_endpoint_auth_signing_alg varchar(10) NOT NULL DEFAULT '',
        nid uuid NOT NULL DEFAULT '5a1e4c0e-0e9d-4a86-9a2f-4f3f8d2a3c11',
        redirect_uris jsonb NOT NULL DEFAULT '["https://web.example/cb"]',
        grant_types jsonb NOT NULL DEFAULT '["authorization_code", "refresh_token"]',
        response_types jsonb NOT NULL DEFAULT '["code"]', audience jsonb NOT NULL DEFAULT '[]',
        allowed_cors_origins jsonb NOT NULL DEFAULT '[]', contacts jsonb NOT NULL DEFAULT '[]',
        request_uris jsonb NOT NULL DEFAULT '[]',
        post_logout_redirect_uris jsonb NOT NULL DEFAULT '[]',
        skip_consent boolean NOT NULL DEFAULT false
    );
    CREATE TABLE hydra_oauth2_flow (
        login_challenge varchar(40) NOT NULL, subject varchar(255), client_id varchar(255),
        requested_at timestamp NOT NULL DEFAULT now(), state integer, consent_skip boolean,
        consent_remember boolean, consent_remember_for integer, consent_handled_at timestamp,
        consent_error text, nid uuid NOT NULL DEFAULT '5a1e4c0e-0e9d-4a86-9a2f-4f3f8d2a3c11',
        requested_scope jsonb, granted_scope jsonb,
        expires_at timestamp GENERATED ALWAYS AS (CASE
            WHEN consent_remember_for > 0
            THEN requested_at + consent_remember_for::float8 * interval '1 second'
        END) STORED
    );
    INSERT INTO hydra_oauth2_flow (
        login_challenge, subject, client_id, requested_at, state, consent_skip, consent_remember,
        consent_remember_for, consent_handled_at, granted_scope
    )
    SELECT
        who || client || days, who, client, at, state, skip, remember, seconds, at, scope::jsonb
    FROM (VALUES
        ('alice', 'web', 9, 6, false, true, 0, '["openid", "photos.read", "photos.write"]'),
        ('alice', 'web', 5, 6, false, true, 0, '["openid", "photos.read"]'),
        ('alice', 'web', 2, 6, true, true, 0, '["openid"]'),
        ('alice', 'key', 1, 6, false, false, 0, '["openid"]'),
        ('alice', 'old', 1, 6, false, true, 0, '["openid"]'),
        ('bob', 'web', 1, 6, false, true, 864000, '["openid"]'),
        ('carol', 'web', 1, 129, false, true, 0, 'null'),
        ('dave', 'web', 2, 6, false, true, 86400, '["openid"]'),
        ('dave', 'web', 3, 6, false, true, 0, '["openid"]')
    ) AS row (who, client, days, state, skip, remember, seconds, scope)
    CROSS JOIN LATERAL (SELECT now() AT TIME ZONE 'UTC' - days * interval '1 day' AS at) AS time;
    INSERT INTO hydra_client (id, client_name, metadata) VALUES ('web', 'Web', '{"tier": 1}');
    INSERT INTO hydra_client (id, token_endpoint_auth_method, jwks)
    VALUES ('key', 'private_key_jwt', '{"keys":[{"kty":"EC","crv":"P-256","x":"a","y":"b"}]}');
    INSERT INTO hydra_client (id, grant_types, redirect_uris, jwks)
    VALUES ('robot', '["client_credentials"]', '[]', '{"keys":null}');
    INSERT INTO hydra_client (id, redirect_uris) VALUES ('old', '["http://old.example/cb"]')"#;

#[tokio::test]
async fn clients_of_hydra_are_registered() {
    let test = TestStorage::new("imports_hydra").await;
    import(&test, HYDRA_ROWS, "", HYDRA).await;
    let clients = test.storage.list_clients(None, 10).await.unwrap();
    let ids: Vec<&str> = clients.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(ids, ["key", "robot", "web"], "without the one whose redirect URI is refused");
    for client in &clients {
        client.metadata.check().unwrap();
        assert_eq!(client.client_id_issued_at.timestamp(), 1_704_164_645, "UTC");
    }
    assert!(clients[0].metadata.details.jwks.is_some());
    assert!(clients[1].metadata.response_types.is_empty());
    assert_eq!(clients[2].metadata.details.other["metadata"]["tier"], 1);
}

#[tokio::test]
async fn networks_of_hydra_are_not_mixed() {
    let test = TestStorage::new("imports_hydra_networks").await;
    test.sql(HYDRA_ROWS).await;
    let other = "b3b4a1f2-5f0c-4b52-8a8e-0d6a5e1b7c22";
    test.sql(&format!("UPDATE hydra_client SET nid = '{other}' WHERE id = 'robot'")).await;
    let error = run(&test, "SELECT", HYDRA).await.unwrap_err();
    assert!(error.to_string().contains("import.nid"), "{error}");
    run(&test, &format!("SET import.nid = '{other}'"), HYDRA).await.unwrap();
    let clients = test.storage.list_clients(None, 10).await.unwrap();
    assert_eq!(clients.iter().map(|client| &*client.client_id).collect::<Vec<_>>(), ["robot"]);
}

/// `prepare.sql` and `ClientMetadata::check` accept the same URIs.
#[tokio::test]
async fn redirect_uris_are_checked_alike() {
    let test = TestStorage::new("imports_uris").await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    sqlx::raw_sql(PREPARE).execute(&mut connection).await.unwrap();
    for uri in [
        "https://app.example/callback",
        "https://app.example:8443/cb?tenant=1",
        "http://127.0.0.1:49152/cb",
        "http://[::1]/cb",
        "http://localhost:3000/cb",
        "https://app.example/@me?to=a@b.example",
        "com.example.app:/oauth2redirect",
        "https://app.example/cb#frag",
        "/callback",
        "app.example/callback",
        "https:app.example",
        "https://",
        "https:///evil.example/",
        "http://app.example/cb",
        "HTTP://app.example/cb",
        "http://localhost.app.example/cb",
        "http://127.0.0.1.app.example/cb",
        "JavaScript:alert(1)",
        "app:/cb",
        "mailto:alice@app.example",
        "intent://x/y",
        "filesystem:https://app.example/cb",
        "https://*.example/cb",
        "https://app.example/?to=*@/../",
        "https://app.example/a/../cb",
        "https://app.example/a/%2e%2E?b",
        "https://app.example/a..b/.c/",
        "https://app.example@evil.example/",
        "https://@evil.example/",
        "com.example.app://user@host/cb",
        "https://app.example/ cb",
        "https://app.example\\@evil.example",
        "https://bücher.example/",
    ] {
        let accepted: bool =
            sqlx::query_scalar(AssertSqlSafe("SELECT pg_temp.import_accepts_redirect_uri($1)"))
                .bind(uri)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        let metadata = ClientMetadata::authorization_code([uri]);
        assert_eq!(accepted, metadata.check().is_ok(), "{uri}");
    }
    connection.close().await.unwrap();
}
