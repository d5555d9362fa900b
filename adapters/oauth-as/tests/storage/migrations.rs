//! The schema beside that of oauth-storage.

use oauth_storage::PgStorage;

use crate::support::TestStorage;

#[tokio::test]
async fn migrations_run_twice_and_beside_those_of_oauth_storage() {
    let test = TestStorage::new("migrate").await;
    let (one, two) = tokio::join!(test.storage.migrate(), test.storage.migrate());
    one.unwrap();
    two.unwrap();
    let neighbour = PgStorage::connect(test.database.url()).await.unwrap();
    neighbour.migrate().await.unwrap();
    test.storage.migrate().await.unwrap();
    assert!(neighbour.pending_migrations().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_table_column_and_function_has_a_comment() {
    let test = TestStorage::new("comments").await;
    let missing: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || coalesce('.' || a.attname, '')
         FROM pg_class c
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'oauth_as'::regnamespace AND c.relkind = 'r'
             AND c.relname <> '_sqlx_migrations'
             AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
         UNION ALL
         SELECT proname FROM pg_proc
         WHERE pronamespace = 'oauth_as'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL",
    )
    .fetch_all(&test.pool)
    .await
    .unwrap();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn a_missing_schema_is_named() {
    let server = oauth_storage_testbed::shared().await.unwrap();
    let database = server.database("empty").await.unwrap();
    let (storage, _) = crate::support::connect(database.url(), crate::support::key()).await;
    let error = oauth_as::Storage::get_token(&storage, "token").await.unwrap_err();
    assert!(error.to_string().contains("OauthAsStorage::migrate"), "{error}");
}
