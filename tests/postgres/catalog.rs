//! The schema in PostgreSQL's catalog.

use sqlx::{Connection as _, PgConnection};

use crate::support::TestStorage;

async fn rows(test: &TestStorage, sql: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn the_schema_matches_the_design() {
    let test = TestStorage::new("catalog").await;

    let tables = rows(
        &test,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'oauth_storage'::regnamespace
             AND relkind = 'r' ORDER BY 1",
    );
    assert_eq!(
        tables.await,
        [
            "_sqlx_migrations",
            "authorization_code",
            "authorization_grant",
            "client",
            "client_lock",
            "consent",
            "device_authorization",
            "record",
            "signing_key",
            "token",
            "user_account",
            "user_session"
        ]
    );

    let uncommented = rows(
        &test,
        "SELECT relname || '.' || coalesce(attname, '') FROM pg_class
         LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
         WHERE relnamespace = 'oauth_storage'::regnamespace AND relkind = 'r'
             AND relname <> '_sqlx_migrations'
             AND (col_description(pg_class.oid, attnum) IS NULL
                  OR obj_description(pg_class.oid, 'pg_class') IS NULL)",
    );
    assert_eq!(uncommented.await, [""; 0], "every table and column has a comment");

    // DESIGN.md, "Why is there no foreign key?".
    let foreign_keys = rows(
        &test,
        "SELECT conname::text FROM pg_constraint
         WHERE contype = 'f' AND connamespace = 'oauth_storage'::regnamespace",
    );
    assert_eq!(foreign_keys.await, [""; 0]);

    let indexes = rows(
        &test,
        "SELECT regexp_replace(indexdef, '^CREATE (UNIQUE )?INDEX (\\w+) ON \\S+ USING ', '\\1\\2 ')
         FROM pg_indexes WHERE schemaname = 'oauth_storage' AND tablename <> '_sqlx_migrations'
         ORDER BY indexname",
    );
    assert_eq!(
        indexes.await,
        [
            "authorization_code_expires_at btree (date_bin('00:00:10'::interval, expires_at, \
             '2000-01-01 00:00:00+00'::timestamp with time zone))",
            "UNIQUE authorization_code_pkey btree (digest)",
            "authorization_grant_client_id btree (hashtextextended(client_id, (0)::bigint), \
             ((uuid_hash(grant_id) & 4095)))",
            "UNIQUE authorization_grant_pkey btree (grant_id)",
            "authorization_grant_sid btree (hashtextextended((context ->> 'sid'::text), \
             (0)::bigint), grant_id) WHERE (context ? 'sid'::text)",
            "authorization_grant_subject btree (hashtextextended(subject, (0)::bigint), grant_id) \
             WHERE (subject IS NOT NULL)",
            "UNIQUE client_lock_pkey btree (client_id)",
            "UNIQUE client_pkey btree (client_id)",
            "consent_client_id btree (client_id, subject)",
            "UNIQUE consent_pkey btree (subject, client_id)",
            "device_authorization_expires_at btree (date_bin('00:00:10'::interval, expires_at, \
             '2000-01-01 00:00:00+00'::timestamp with time zone))",
            "UNIQUE device_authorization_pkey btree (digest)",
            "UNIQUE device_authorization_user_code_key btree (user_code_digest)",
            "record_expires_at btree (date_bin('00:00:10'::interval, expires_at, \
             '2000-01-01 00:00:00+00'::timestamp with time zone))",
            "UNIQUE record_pkey btree (digest)",
            "signing_key_expires_at btree (expires_at) WHERE (expires_at IS NOT NULL)",
            "UNIQUE signing_key_one_active btree (issuer, alg) WHERE (state = 'a'::\"char\")",
            "UNIQUE signing_key_one_next btree (issuer, alg) WHERE (state = 'n'::\"char\")",
            "UNIQUE signing_key_pkey btree (issuer, kid)",
            "token_expires_at btree (date_bin('00:00:10'::interval, expires_at, \
             '2000-01-01 00:00:00+00'::timestamp with time zone))",
            "UNIQUE token_pkey btree (digest)",
            "UNIQUE user_account_pkey btree (username)",
            "UNIQUE user_account_subject_key btree (subject)",
            "user_session_ended_at btree (ended_at) WHERE (ended_at IS NOT NULL)",
            "user_session_expires_at btree (date_bin('00:00:10'::interval, expires_at, \
             '2000-01-01 00:00:00+00'::timestamp with time zone))",
            "UNIQUE user_session_pkey btree (digest)",
            "UNIQUE user_session_sid_key btree (sid)",
            "user_session_subject btree (hashtextextended(subject, (0)::bigint), sid)",
        ]
    );

    // No index has a column that a use or a revocation changes, so these updates stay HOT.
    let hot = rows(
        &test,
        "SELECT relname || ' ' || array_to_string(reloptions, ' ') FROM pg_class
         WHERE oid IN ('oauth_storage.token'::regclass,
                       'oauth_storage.authorization_grant'::regclass,
                       'oauth_storage.authorization_code'::regclass,
                       'oauth_storage.device_authorization'::regclass,
                       'oauth_storage.record'::regclass) ORDER BY 1",
    );
    let hot = hot.await;
    assert!(hot[0].starts_with("authorization_code fillfactor=80 autovacuum"), "{hot:?}");
    assert!(hot[1].starts_with("authorization_grant fillfactor=90 autovacuum"), "{hot:?}");
    assert!(hot[2].starts_with("device_authorization fillfactor=70 autovacuum"), "{hot:?}");
    assert!(hot[3].starts_with("record fillfactor=80 autovacuum"), "{hot:?}");
    assert!(hot[4].starts_with("token fillfactor=95 autovacuum"), "{hot:?}");
}

/// Constraints of the schema refuse plaintext, even if the code has a bug.
#[tokio::test]
async fn constraints_refuse_plaintext() {
    let test = TestStorage::new("constraints").await;
    for sql in [
        "INSERT INTO oauth_storage.user_account (username, subject, password_hash)
         VALUES ('a', 'b', 'wonderland')",
        "INSERT INTO oauth_storage.client (client_id, client_secret_hash, token_endpoint_auth_method,
             redirect_uris, grant_types, response_types, scope, details)
         VALUES ('a', 'plaintext', 'none', '{}', '{}', '{}', '', '{}')",
        "INSERT INTO oauth_storage.client (client_id, registration_access_token_hash,
             token_endpoint_auth_method, redirect_uris, grant_types, response_types, scope, details)
         VALUES ('a', 'plaintext', 'none', '{}', '{}', '{}', '', '{}')",
        "INSERT INTO oauth_storage.client (client_id, previous_client_secret_hashes,
             previous_client_secrets_expire_at, token_endpoint_auth_method, redirect_uris,
             grant_types, response_types, scope, details)
         VALUES ('a', '{plaintext}', '{now}', 'none', '{}', '{}', '{}', '', '{}')",
        "INSERT INTO oauth_storage.client (client_id, previous_client_secret_hashes,
             previous_client_secrets_expire_at, token_endpoint_auth_method, redirect_uris,
             grant_types, response_types, scope, details)
         VALUES ('a', '{sha256:00,plaintext}', '{now,now}', 'none', '{}', '{}', '{}', '', '{}')",
    ] {
        let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
        let error = sqlx::query(sql).execute(&mut connection).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("23514"), "{sql}: {error}");
    }
}
