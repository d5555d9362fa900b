//! S24: no default of a database, a role or a session changes a decision or a reported field.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::grant::GrantContext;
use oauth_storage::postgres::NewUser;
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, Error, GrantStorage as _, NewAuthorizationCode, PgStorage,
    Secret, TokenStorage as _,
};
use oauth_storage_conformance::Conformance;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestStorage, alice, database, pair, run_sql, scope, unique, url_as};

/// Functions and operators that shadow those of `pg_catalog` where it has none for exactly these types.
const HOSTILE: &str = "
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
    CREATE FUNCTION evil.never(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.never);
    CREATE FUNCTION evil.forever(bigint, interval) RETURNS interval LANGUAGE sql
        AS $$ SELECT interval '100 years' $$;
    CREATE OPERATOR evil.* (LEFTARG = bigint, RIGHTARG = interval, FUNCTION = evil.forever);
    CREATE FUNCTION evil.hashtextextended(text, integer) RETURNS bigint LANGUAGE sql AS 'SELECT 7';
    CREATE FUNCTION evil.date_bin(text, timestamptz, text) RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT 'infinity'::timestamptz $$;
    CREATE FUNCTION evil.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'x' $$;
    CREATE FUNCTION evil.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE sql
        AS $$ SELECT gen_random_uuid() $$;
    CREATE FUNCTION evil.prepend(text, text[]) RETURNS text[] LANGUAGE sql AS $$ SELECT '{}'::text[] $$;
    CREATE OPERATOR evil.|| (LEFTARG = text, RIGHTARG = text[], FUNCTION = evil.prepend);
    CREATE FUNCTION evil.contained(text[], text[]) RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE OPERATOR evil.<@ (LEFTARG = text[], RIGHTARG = text[], FUNCTION = evil.contained);
    CREATE FUNCTION evil.forever(integer, interval) RETURNS interval LANGUAGE sql
        AS $$ SELECT interval '100 years' $$;
    CREATE OPERATOR evil.* (LEFTARG = integer, RIGHTARG = interval, FUNCTION = evil.forever);
    CREATE FUNCTION evil.cardinality(text[]) RETURNS integer LANGUAGE sql AS 'SELECT 1000';
    CREATE FUNCTION evil.append(text[], text) RETURNS text[] LANGUAGE sql AS $$ SELECT '{}'::text[] $$;
    CREATE OPERATOR evil.|| (LEFTARG = text[], RIGHTARG = text, FUNCTION = evil.append);
    CREATE FUNCTION evil.array_append(text[], text) RETURNS text[] LANGUAGE sql
        AS $$ SELECT '{}'::text[] $$;
    CREATE FUNCTION evil.divide(interval, integer) RETURNS interval LANGUAGE sql
        AS $$ SELECT interval '100 years' $$;
    CREATE OPERATOR evil./ (LEFTARG = interval, RIGHTARG = integer, FUNCTION = evil.divide);
    CREATE FUNCTION evil.statement_timestamp() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT '1970-01-01 00:00:00+00'::timestamptz $$;
    ";

const SETTINGS: [&str; 18] = [
    "search_path = evil, oauth_storage, public",
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_deferrable = on",
    "row_security = on",
    "\"DateStyle\" = 'SQL, DMY'",
    "\"IntervalStyle\" = 'sql_standard'",
    "\"TimeZone\" = 'Asia/Kathmandu'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "backslash_quote = on",
    "client_encoding = 'LATIN1'",
    "synchronous_commit = off",
    "transform_null_equals = on",
    "array_nulls = off",
    "quote_all_identifiers = on",
    "extra_float_digits = '-15'",
    "lock_timeout = '20s'",
    "statement_timeout = '1ms'",
];

async fn make_hostile(url: &str, target: &str) {
    for setting in SETTINGS {
        run_sql(url, &format!("ALTER {target} SET {setting}")).await;
    }
}

/// With hostile settings of the database, and others of the role, the suite passes.
#[tokio::test(flavor = "multi_thread")]
async fn s24_a_storage_conforms_under_any_settings_of_database_and_role() {
    let test = TestStorage::new("s24").await;
    test.sql(HOSTILE).await;
    make_hostile(test.database.url(), &format!("DATABASE {}", test.database.name())).await;
    // A plain connection does see them.
    let mut plain = PgConnection::connect(test.database.url()).await.unwrap();
    // Its time limit of a millisecond cancels some attempts.
    let isolation = loop {
        let show = sqlx::query_scalar("SHOW transaction_isolation");
        if let Ok(isolation) = show.fetch_one(&mut plain).await {
            break isolation;
        }
    };
    let isolation: String = isolation;
    assert_eq!(isolation, "repeatable read");

    let builder = PgStorage::builder().password_users().deadline(Duration::from_mins(1));
    let storage = builder.connect(test.database.url()).await.unwrap();
    storage.migrate().await.unwrap();
    let user = NewUser::new("alice", "248289761001", Secret::new("wonderland"));
    storage.password_users().create(user).await.unwrap();
    let suite = Conformance::new(Arc::new(storage));
    suite.user("alice", "wonderland", "248289761001").run().await;
}

/// The migrations create the same schema under such settings.
#[tokio::test(flavor = "multi_thread")]
async fn s24_the_schema_does_not_depend_on_settings() {
    let database = database("s24_migrate").await;
    run_sql(database.url(), HOSTILE).await;
    make_hostile(database.url(), &format!("DATABASE {}", database.name())).await;
    let hostile = PgStorage::connect(database.url()).await.unwrap();
    hostile.migrate().await.unwrap();
    let plain = TestStorage::new("s24_plain").await;
    let describe = "
        SELECT format('%s.%s %s %s', table_name, column_name, data_type, column_default)
            COLLATE \"C\" AS line
        FROM information_schema.columns
        WHERE table_schema = 'oauth_storage' AND table_name <> '_sqlx_migrations'
        UNION ALL
        SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'oauth_storage'::regnamespace
        UNION ALL
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'oauth_storage'
        ORDER BY line";
    let mut described = Vec::new();
    // The session that describes is the same for both.
    for url in [database.url(), plain.database.url()] {
        // The time limit of the database would cancel the reset.
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.options([("statement_timeout", "0")]);
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let reset = "RESET ALL; SET search_path = pg_catalog; SET standard_conforming_strings = on;
             SET quote_all_identifiers = off; SET \"IntervalStyle\" = 'postgres';
             SET \"DateStyle\" = 'ISO, MDY'; SET \"TimeZone\" = 'UTC'; SET statement_timeout = 0";
        sqlx::raw_sql(reset).execute(&mut connection).await.unwrap();
        let lines: Vec<String> =
            sqlx::query_scalar(describe).fetch_all(&mut connection).await.unwrap();
        described.push(lines);
    }
    assert!(described[0].len() > 60, "{}", described[0].len());
    assert_eq!(described[0], described[1]);
}

/// Values come back unchanged under any text format of the server.
#[tokio::test(flavor = "multi_thread")]
async fn s24_values_do_not_depend_on_output_formats() {
    let test = TestStorage::new("s24_values").await;
    make_hostile(test.database.url(), &format!("DATABASE {}", test.database.name())).await;
    let storage = PgStorage::connect(test.database.url()).await.unwrap();
    let (client_id, _) = test.client().await;
    let extension = serde_json::json!({ "number": 0.1, "big": 9007199254740993i64 });
    let context = GrantContext::default()
        .with_auth_time(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::microseconds(1))
        .with_acr(r#"\ ' " € 漢"#.to_owned())
        .with_amr(vec!["NULL".into(), r"\x00".into(), "{a,b}".into()])
        .with_extension(extension.as_object().cloned());
    let code = Secret::generate().unwrap();
    let uri = "https://client.example/cb?a=%27";
    let new = NewAuthorizationCode::new(&client_id, scope(), uri, code.clone())
        .with_context(context.clone());
    storage.create_authorization_code(&alice(), new).await.unwrap();
    let found = storage.get_authorization_code(&alice(), &client_id, &code).await.unwrap().unwrap();
    assert_eq!((found.redirect_uri.as_str(), &found.context), (uri, &context));
    let new = NewToken::new(&client_id, scope(), pair()).with_context(context.clone());
    let tokens = new.tokens.clone();
    let token = storage.create_token(&alice(), new).await.unwrap();
    let found = storage.introspect(&tokens.access_token).await.unwrap().unwrap();
    assert_eq!(found, token);
    assert_eq!(found.context, context);
    let skew = (found.issued_at - chrono::Utc::now()).abs();
    assert!(skew < chrono::TimeDelta::minutes(1), "{skew}");
}

async fn refused(url: &str, says: &str) {
    let error = PgStorage::connect(url).await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error:?}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn s24_row_level_security_that_hides_rows_is_refused() {
    let test = TestStorage::new("s24_rls").await;
    let role = unique("hidden");
    test.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw';
         GRANT USAGE ON SCHEMA oauth_storage TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA oauth_storage TO {role}"
    ))
    .await;
    let url = url_as(test.database.url(), &role, "pw");
    let early = PgStorage::connect(&url).await.unwrap();
    assert_eq!(early.introspect(&Secret::new("t")).await.unwrap(), None);
    test.sql("ALTER TABLE oauth_storage.token ENABLE ROW LEVEL SECURITY").await;
    refused(&url, "row-level security hides rows of oauth_storage.token").await;
    // A storage that was connected before gets an error: a hidden row is not taken for a missing one.
    let error = early.introspect(&Secret::new("t")).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    drop(early);
    // The owner sees every row.
    PgStorage::connect(test.database.url()).await.unwrap();
    test.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// A schema before `pg_catalog` could redefine equality.
#[tokio::test]
async fn s24_a_search_path_that_shadows_operators_is_refused() {
    let test = TestStorage::new("s24_path").await;
    test.sql(HOSTILE).await;
    let name = test.database.name();
    test.sql(&format!("ALTER DATABASE {name} SET search_path = evil, pg_catalog")).await;
    let mut plain = PgConnection::connect(test.database.url()).await.unwrap();
    let equal: bool =
        sqlx::query_scalar("SELECT 'a'::text = 'a'::text").fetch_one(&mut plain).await.unwrap();
    assert!(!equal, "it does shadow them");
    refused(test.database.url(), "search path").await;
}

#[tokio::test]
async fn s24_another_encoding_than_utf8_is_refused() {
    let test = TestStorage::new("s24_encoding").await;
    let name = format!("{}_latin1", test.database.name());
    let create = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    test.sql(&create).await;
    let url = test.database.url().replace(test.database.name(), &name);
    refused(&url, "LATIN1").await;
    test.sql(&format!("DROP DATABASE {name}")).await;
}

/// A database that an operator made read-only is not changed, and the error names the reason.
#[tokio::test]
async fn s24_a_read_only_default_is_obeyed() {
    let test = TestStorage::new("s24_read_only").await;
    let (client_id, _) = test.client().await;
    let name = test.database.name();
    test.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let storage = PgStorage::connect(test.database.url()).await.unwrap();
    let new = NewToken::new(&client_id, scope(), pair());
    let error = storage.create_token(&alice(), new.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(storage.introspect(&new.tokens.access_token).await.unwrap(), None);
}
